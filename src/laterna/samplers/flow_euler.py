"""Euler's method on a rectified flow, arXiv:2403.03206: dx/dsigma = v = (x - denoised) / sigma.

Sigmas fall evenly from 1 to 1/steps and are then shifted (eq. 23), by a fixed factor or by one that grows with the
image's token sequence, as the diffusers pipelines of guidance-distilled flow transformers pass them to their scheduler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from laterna.samplers.noise import FlowNoise, NoiseSchedule, need
from laterna.samplers.sampler import History, Sampler, fresh_history
from laterna.samplers.schedule import Schedule, make_schedule
from laterna.samplers.updates import approach


@dataclass(frozen=True, kw_only=True)
class FlowEuler:
    name: str = "flow_euler"
    stochastic: bool = False

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        noise = need(FlowNoise, noise, self.name)
        if steps < 1:
            raise ValueError(f"steps: {steps} must be at least 1")
        even = np.linspace(1, 1 / steps, steps)
        shift = shift_of(noise, tokens)
        sigmas = shift * even / (1 + (shift - 1) * even)
        return make_schedule(sigmas * noise.num_train_timesteps, np.append(sigmas, 0.0))

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


def shift_of(noise: FlowNoise, tokens: int | None) -> float:
    """alpha of eq. 23: the model's own, or e^mu of the image's tokens."""
    if not noise.use_dynamic_shifting:
        return noise.shift
    if tokens is None:
        raise ValueError("tokens: this model's noise depends on the length of the image's token sequence; pass it")
    return math.exp(noise.mu(tokens))


FLOW_EULER: Sampler = FlowEuler()
