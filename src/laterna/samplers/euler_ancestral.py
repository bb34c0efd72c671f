"""Ancestral Euler: a step down to less noise than wanted, then fresh noise up to what is wanted.

Equations of k-diffusion's `get_ancestral_step` with eta 1, which are the variance of DDPM (arXiv:2010.02502, eq. 16) in
sigma space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from laterna.samplers.euler import euler_schedule
from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, fresh_history
from laterna.samplers.schedule import Schedule
from laterna.samplers.updates import approach, per_sample


@dataclass(frozen=True, kw_only=True)
class EulerAncestral:
    """Knows neither Karras sigmas nor a last sigma above 0, as the diffusers scheduler."""

    name: str = "euler_ancestral"
    stochastic: bool = True

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        return euler_schedule(steps, need(DiffusionNoise, noise, self.name), use_karras=False, last=0.0)

    def start(self, x: torch.Tensor) -> History:
        return fresh_history(x)

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
    ) -> tuple[torch.Tensor, History]:
        if noise is None:
            raise ValueError(f"noise: {self.name} needs unit noise at every step")
        up, down = split(sigma, sigma_next)
        x_next = approach(x, denoised, sigma, down) + per_sample(up, x) * noise
        return x_next, replace(history, steps=history.steps + 1)


def split(sigma: torch.Tensor, sigma_next: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """sigma_up and sigma_down: up^2 = sigma_next^2 (sigma^2 - sigma_next^2) / sigma^2, up^2 + down^2 = sigma_next^2."""
    down = sigma_next.double() ** 2 / sigma.double()
    return (sigma_next.double() ** 2 - down**2).sqrt(), down


EULER_ANCESTRAL: Sampler = EulerAncestral()
