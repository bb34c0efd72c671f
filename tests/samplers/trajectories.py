"""Whole trajectories of a small nonlinear network: by a diffusers scheduler, and by a sampler in sigma space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from laterna.samplers.sampler import Sampler, stack
from laterna.samplers.schedule import Schedule

SHAPE = (4, 6, 6)
TOLERANCE = 1e-5  # of the largest value in the reference's latent


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    timesteps: torch.Tensor  # [steps]
    latents: list[torch.Tensor]  # the start, then after each step; in the scheduler's own space


def network(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Mixes neighbours, timestep and position, nonlinearly; sample by sample, whatever the batch. [b, ...], [b]."""
    time = (timestep.float() * 0.01).sin().reshape(-1, *[1] * (x.ndim - 1))
    place = torch.arange(x[0].numel(), device=x.device).reshape(x.shape[1:]).mul(0.7).cos()
    return 1.5 * torch.tanh(0.8 * x - 0.5 * x.roll(1, -1) * x.roll(1, -2).tanh() + 0.4 * time + 0.3 * place)


def clean(x: torch.Tensor, sigma: torch.Tensor, timestep: torch.Tensor, prediction: str) -> torch.Tensor:
    """The network's prediction of x0 from a latent in sigma space: what a family does. [b, ...], [b], [b]."""
    sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
    if prediction == "flow":
        return x - sigma * network(x, timestep)
    radius = (1 + sigma**2).sqrt()
    output = network(x / radius, timestep)
    return x - sigma * output if prediction == "epsilon" else x / radius**2 - output * sigma / radius


def unit_noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def by_diffusers(scheduler: Any, **extra: Any) -> Trajectory:
    """The loop of the diffusers pipelines; `set_timesteps` has been called. `extra` goes to every step."""
    x = unit_noise()[None] * getattr(scheduler, "init_noise_sigma", 1.0)
    latents = [x[0]]
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(scaled, timestep[None]), timestep, x, **extra).prev_sample
        latents.append(x[0])
    return Trajectory(timesteps=scheduler.timesteps, latents=latents)


def by_sampler(
    sampler: Sampler, schedule: Schedule, prediction: str, *, preserving: bool, generator: torch.Generator | None = None
) -> Trajectory:
    """The engine's loop for one sample. `preserving`: latents are reported in the variance-preserving space."""
    x = unit_noise()[None] * schedule.noise_scale
    history, latents = stack([sampler.start(x[0])]), [x[0]]
    for step, timestep in enumerate(schedule.timesteps):
        sigma, sigma_next = schedule.sigmas[step : step + 1], schedule.sigmas[step + 1 : step + 2]
        noise = torch.randn(x.shape, generator=generator) if sampler.stochastic else None
        denoised = clean(x, sigma, timestep[None], prediction)
        x, history = sampler.step(history, x, denoised, sigma, sigma_next, timestep=timestep[None], noise=noise)
        latents.append(x[0])
    if preserving:
        latents = [x / (1 + sigma**2).sqrt() for x, sigma in zip(latents, schedule.sigmas, strict=True)]
        assert torch.allclose(latents[-1], x[0] * schedule.final_scale)
    return Trajectory(timesteps=schedule.timesteps, latents=latents)


def error(ours: Trajectory, reference: Trajectory) -> float:
    """The largest difference of any latent, relative to that latent's largest value; infinite for another length."""
    if len(ours.latents) != len(reference.latents):
        return float("inf")
    pairs = zip(ours.latents, reference.latents, strict=True)
    errors = [float((mine - theirs).abs().max() / theirs.abs().max()) for mine, theirs in pairs]
    return max(e if e == e else float("inf") for e in errors)  # a NaN is no small error
