"""Euler's method on the probability-flow ODE, arXiv:2206.00364, algorithm 1 without churn and correction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, fresh_history
from laterna.samplers.schedule import Schedule, karras, make_schedule, sigma_at, spread, timestep_at
from laterna.samplers.updates import approach


@dataclass(frozen=True, kw_only=True)
class Euler:
    name: str = "euler"
    stochastic: bool = False

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(DiffusionNoise, noise, self.name)
        last = 0.0 if noise.final_sigmas_type == "zero" else noise.sigmas()[0]
        return euler_schedule(steps, noise, use_karras=noise.use_karras_sigmas, last=last)

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
        return approach(x, denoised, sigma, sigma_next), replace(history, steps=history.steps + 1)


def euler_schedule(steps: int, noise: DiffusionNoise, *, use_karras: bool, last: float) -> Schedule:
    """Sigmas at fractional timesteps; Karras sigmas span the range that the timesteps do, not the whole training."""
    table = noise.sigmas()
    timesteps = spread(steps, noise, "linspace").astype(np.float32).astype(np.float64)
    sigmas = sigma_at(timesteps, table)
    if use_karras:
        sigmas = karras(steps, sigmas[0], sigmas[-1])
        timesteps = timestep_at(sigmas, table)
    # `leading` does not start at the last training timestep: the latent's own variance of 1 still counts there.
    first, spacing = float(sigmas[0]), noise.timestep_spacing
    scale = math.sqrt(1 + first**2) if spacing == "leading" else first
    return make_schedule(timesteps, np.append(sigmas, last), noise_scale=scale)


EULER: Sampler = Euler()
