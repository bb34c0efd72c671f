"""DDIM, arXiv:2010.02502, eq. 12 with eta 0: deterministic, first order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, fresh_history
from laterna.samplers.schedule import Schedule, make_preserving_schedule, spread
from laterna.samplers.updates import approach


@dataclass(frozen=True, kw_only=True)
class Ddim:
    """Each step leads to the timestep of the next call.

    diffusers leads to t - num_train_timesteps // steps instead and then calls the network with the next timestep of its
    list. The two are the same for `leading` spacing and for `trailing` with a step count that divides the training
    timesteps; elsewhere the network there is told a noise level that its input does not have.
    """

    name: str = "ddim"
    stochastic: bool = False

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(DiffusionNoise, noise, self.name)
        table = noise.sigmas()
        timesteps = spread(steps, noise, "leading").round()
        last = 0.0 if noise.set_alpha_to_one else table[0]
        return make_preserving_schedule(timesteps, np.append(table[timesteps.astype(np.int64)], last))

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


DDIM: Sampler = Ddim()
