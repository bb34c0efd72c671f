"""DPM-Solver++(2M), arXiv:2211.01095, algorithm 2: second order from the last two predictions of x0.

Dividing the paper's eq. 8 by alpha_t turns it into sigma space, with lambda = -log sigma and e^-h = sigma_next / sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, expect, fresh_history
from laterna.samplers.schedule import Schedule, multistep_schedule
from laterna.samplers.updates import approach, extrapolate


@dataclass(frozen=True, kw_only=True)
class LastPrediction(History):
    denoised: torch.Tensor  # the prediction of x0 in the step before; zeros before the first
    sigma: torch.Tensor  # where it was made; 1 before the first


@dataclass(frozen=True, kw_only=True)
class Dpmpp2M:
    """First order in the first step and in the last, which leads to sigma 0; second order between."""

    name: str = "dpmpp_2m"
    stochastic: bool = False
    karras: bool = False  # Karras sigmas whatever the model's config says

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(DiffusionNoise, noise, self.name)
        use_karras = self.karras or noise.use_karras_sigmas
        return multistep_schedule(steps, noise, use_karras=use_karras, sampler=self.name)

    def start(self, x: torch.Tensor) -> LastPrediction:
        one = torch.ones((), device=x.device)
        return LastPrediction(steps=fresh_history(x).steps, denoised=torch.zeros_like(x), sigma=one)

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
    ) -> tuple[torch.Tensor, LastPrediction]:
        last = expect(history, LastPrediction)
        second_order = (last.steps > 0) & (sigma_next > 0)
        target = extrapolate(denoised, last.denoised, last.sigma, sigma, sigma_next, second_order=second_order)
        x_next = approach(x, target, sigma, sigma_next)
        return x_next, LastPrediction(steps=last.steps + 1, denoised=denoised, sigma=sigma)


DPMPP_2M: Sampler = Dpmpp2M()
DPMPP_2M_KARRAS: Sampler = Dpmpp2M(name="dpmpp_2m_karras", karras=True)
