"""Schedules: the timesteps and sigmas that a request's steps visit, laid out as diffusers lays them out.

Computed in float64 and rounded to float32 once, at the end. No sampler state and no device: plain numbers on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from laterna.samplers.noise import DiffusionNoise, Floats, Spacing

KARRAS_RHO = 7.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One request's way from noise to data: step i goes from sigmas[i] to sigmas[i + 1]."""

    timesteps: torch.Tensor  # what the network is conditioned on; float32, [steps]
    sigmas: torch.Tensor  # falling, above 0 but for the last; float32, [steps + 1]
    noise_scale: float  # first latent, in sigma space = unit noise * this
    final_scale: float  # clean latent that the decoder gets = last latent, in sigma space * this

    def __post_init__(self) -> None:
        if not bool((self.sigmas[:-1] > 0).all() and (self.sigmas[:-1].diff() < 0).all()):
            raise ValueError(
                f"steps: {len(self.timesteps)} steps are too many for this model to tell apart; take fewer"
            )


def make_schedule(timesteps: Floats, sigmas: Floats, *, noise_scale: float = 1.0, final_scale: float = 1.0) -> Schedule:
    return Schedule(
        timesteps=torch.from_numpy(timesteps).to(torch.float32),
        sigmas=torch.from_numpy(sigmas).to(torch.float32),
        noise_scale=noise_scale,
        final_scale=final_scale,
    )


def make_preserving_schedule(timesteps: Floats, sigmas: Floats) -> Schedule:
    """For samplers whose reference starts from unit noise and ends with a variance-preserving latent."""
    first, last = float(sigmas[0]), float(sigmas[-1])
    return make_schedule(timesteps, sigmas, noise_scale=math.sqrt(1 + first**2), final_scale=1 / math.sqrt(1 + last**2))


def spread(steps: int, noise: DiffusionNoise, default: Spacing, *, spare: int = 0) -> Floats:
    """Falling timesteps by the model's spacing, or by the sampler's default where it names none; [steps].

    `spare` points more are laid out and left out again, those nearest to the data (multistep solvers do so).
    """
    train, points = noise.num_train_timesteps, steps + spare
    if not 1 <= steps <= train:
        raise ValueError(f"steps: {steps} must lie between 1 and the model's {train} training timesteps")
    spacing = noise.timestep_spacing or default
    timesteps: Floats
    if spacing == "linspace":
        timesteps = np.linspace(0, train - 1, points)[::-1][:steps]
    elif spacing == "leading":
        timesteps = np.arange(points, dtype=np.float64)[::-1][:steps] * (train // points) + noise.steps_offset
    else:
        timesteps = np.arange(train, 0, -train / steps).round()[:steps] - 1.0
    if timesteps[0] >= train:
        raise ValueError(f"steps: {steps} with steps_offset {noise.steps_offset} pass timestep {train - 1}; take fewer")
    return timesteps.copy()


def karras(steps: int, sigma_max: float, sigma_min: float) -> Floats:
    """arXiv:2206.00364, eq. 5, without its last sigma of 0; [steps]."""
    ramp = np.linspace(0, 1, steps)
    high, low = sigma_max ** (1 / KARRAS_RHO), sigma_min ** (1 / KARRAS_RHO)
    return cast("Floats", (high + ramp * (low - high)) ** KARRAS_RHO)


def sigma_at(timesteps: Floats, table: Floats) -> Floats:
    """Sigmas at fractional timesteps, on the lines between the training ones."""
    return cast("Floats", np.interp(timesteps, np.arange(len(table)), table))


def timestep_at(sigmas: Floats, table: Floats) -> Floats:
    """Fractional timesteps of sigmas: the inverse of the table, on the lines between the logarithms."""
    return cast("Floats", np.interp(np.log(sigmas), np.log(table), np.arange(len(table))))


def multistep_schedule(steps: int, noise: DiffusionNoise, *, use_karras: bool, sampler: str) -> Schedule:
    """What DPM-Solver++ and UniPC share: they end without noise, and Karras sigmas span the whole training range."""
    if noise.final_sigmas_type != "zero":
        raise ValueError(f"final_sigmas_type: {noise.final_sigmas_type!r} is not supported by {sampler!r}; say 'zero'")
    table = noise.sigmas()
    timesteps = spread(steps, noise, "linspace", spare=1).round()
    sigmas = sigma_at(timesteps, table)
    if use_karras:
        sigmas = karras(steps, table[-1], table[0])
        timesteps = timestep_at(sigmas, table).round()
    return make_preserving_schedule(timesteps, np.append(sigmas, 0.0))
