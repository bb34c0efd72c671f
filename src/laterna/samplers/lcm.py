"""Multistep consistency sampling of latent consistency models, arXiv:2310.04378, with its boundary condition.

Each step jumps to the data and then back to the next level with fresh noise. The last ends at the data, where the noise
that is passed has no weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from laterna.samplers.noise import DiffusionNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, fresh_history
from laterna.samplers.schedule import Schedule, make_preserving_schedule
from laterna.samplers.updates import per_sample

SIGMA_DATA = 0.5
TIMESTEP_SCALING = 10.0


@dataclass(frozen=True, kw_only=True)
class Lcm:
    name: str = "lcm"
    stochastic: bool = True

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(DiffusionNoise, noise, self.name)
        train, original = noise.num_train_timesteps, noise.original_inference_steps
        if not 1 <= steps <= original <= train:
            raise ValueError(f"steps: {steps} must lie between 1 and the {original} that the model was distilled with")
        distilled = (np.arange(1, original + 1) * (train // original) - 1)[::-1]
        timesteps = distilled[np.floor(np.linspace(0, original, steps, endpoint=False)).astype(np.int64)]
        return make_preserving_schedule(timesteps.astype(np.float64), np.append(noise.sigmas()[timesteps], 0.0))

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
        skip, out = boundary(timestep)
        skip = skip / (1 + sigma.double() ** 2).sqrt()  # the boundary mixes in the variance-preserving latent
        clean = per_sample(out, x) * denoised + per_sample(skip, x) * x
        return clean + per_sample(sigma_next, x) * noise, replace(history, steps=history.steps + 1)


def boundary(timestep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """c_skip and c_out: 1 and 0 at timestep 0, so that the data are a fixed point; [b] each."""
    scaled = timestep.double() * TIMESTEP_SCALING
    radius = scaled**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / radius, scaled / radius.sqrt()


LCM: Sampler = Lcm()
