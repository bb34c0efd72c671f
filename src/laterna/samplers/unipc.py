"""UniPC of order 2 with B_2(h) = e^h - 1, arXiv:2302.04867, algorithms 1 and 2 in the form that predicts x0.

In each step the new prediction first corrects the step before (UniC), without a further call of the network, and then
predicts the next (UniP). In sigma space UniP-2 with the paper's choice of rho = 1/2 is the step of DPM-Solver++(2M).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, expect, fresh_history
from laterna.samplers.schedule import Schedule, multistep_schedule
from laterna.samplers.updates import approach, extrapolate, per_sample, widen


@dataclass(frozen=True, kw_only=True)
class LastTwo(History):
    """Of the last step (i - 1) and the one before it (i - 2); zeros, and sigmas of 1, while there was none."""

    x: torch.Tensor  # corrected latent at i - 1
    denoised: torch.Tensor  # prediction of x0 at i - 1
    sigma: torch.Tensor  # at i - 1
    denoised_before: torch.Tensor  # prediction of x0 at i - 2
    sigma_before: torch.Tensor  # at i - 2


@dataclass(frozen=True, kw_only=True)
class UniPC:
    """Predictor: first order in the first step and in the last. Corrector: none, first order, then second."""

    name: str = "unipc"
    stochastic: bool = False

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(DiffusionNoise, noise, self.name)
        return multistep_schedule(steps, noise, use_karras=noise.use_karras_sigmas, sampler=self.name)

    def start(self, x: torch.Tensor) -> LastTwo:
        zeros, one = torch.zeros_like(x), torch.ones((), device=x.device)
        steps = fresh_history(x).steps
        return LastTwo(steps=steps, x=zeros, denoised=zeros, sigma=one, denoised_before=zeros, sigma_before=one)

    def step(
        self,
        history: History,
        x: torch.Tensor,
        denoised: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        *,
        timestep: torch.Tensor,
        noise: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, LastTwo]:
        last = expect(history, LastTwo)
        x = torch.where(widen(last.steps > 0, x), correct(last, denoised, sigma), x)
        second_order = (last.steps > 0) & (sigma_next > 0)
        target = extrapolate(denoised, last.denoised, last.sigma, sigma, sigma_next, second_order=second_order)
        return approach(x, target, sigma, sigma_next), LastTwo(
            steps=last.steps + 1,
            x=x,
            denoised=denoised,
            sigma=sigma,
            denoised_before=last.denoised,
            sigma_before=last.sigma,
        )


def correct(last: LastTwo, denoised: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """UniC: the latent at `sigma`, again from the one before, now that the prediction here is known. [b, ...].

    The weights rho solve rho_1 + rho_2 = b_1, r_1 rho_1 + rho_2 = b_2 in closed form. After a single step
    there is no D_1, and rho_2 is 1/2.
    """
    h = (last.sigma.double() / sigma.double()).log()
    r_1 = (last.sigma.double() / last.sigma_before.double()).log() / h
    b_1, b_2 = moments(-h)
    second_order = last.steps > 1
    rho_1 = torch.where(second_order, (b_1 - b_2) / (1 - r_1), 0.0)
    rho_2 = torch.where(second_order, b_1 - rho_1, 0.5)
    slope = torch.where(second_order, rho_1 / r_1, 0.0)
    target = last.denoised + per_sample(slope, denoised) * (last.denoised_before - last.denoised)
    target = target + per_sample(rho_2, denoised) * (denoised - last.denoised)
    return approach(last.x, target, last.sigma, sigma)


def moments(hh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """b_k = k! hh phi_{k+1}(hh) / B(hh) for k = 1, 2 and B(hh) = e^hh - 1; hh = -h where x0 is predicted."""
    growth = torch.expm1(hh)
    phi_2 = growth / hh - 1
    phi_3 = phi_2 / hh - 0.5
    return phi_2 / growth, 2 * phi_3 / growth


UNIPC: Sampler = UniPC()
