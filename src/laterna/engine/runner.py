"""The runner: carries out one planned call on the device. The only place of the engine that touches one.

Each stage turns samples into what they become and changes none of them: `settle` of the engine does that, so that a
call that failed can be run again for each member by itself. Noise is drawn after the network has answered, for the
same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from laterna.engine.sample import Sample
from laterna.families.caching import Cache
from laterna.families.family import Beginning, Conditioning, Family, Noisy, Picture, Predicted
from laterna.samplers import get_sampler
from laterna.samplers.sampler import History, Sampler, stack, unstack


@dataclass(frozen=True, kw_only=True)
class Encoded:
    conditioning: Conditioning
    beginning: Beginning
    history: History


@dataclass(frozen=True, kw_only=True)
class Denoised:
    latent: torch.Tensor  # sigma space, after the step
    history: History
    clean: torch.Tensor  # the prediction of the finished latent: what previews show
    finite: bool  # whether the latent is all numbers
    cache: Cache | None  # for the sample's next step
    share: float  # of the network's work that ran for the sample


T = TypeVar("T")


@torch.inference_mode()
def encode(family: Family, samples: Sequence[Sample]) -> list[Encoded]:
    """Prompts to conditioning, seeds to first latents and schedules."""
    conditionings = family.encode([sample.job for sample in samples])
    encoded = []
    for sample, conditioning in zip(samples, conditionings, strict=True):
        sample.generator.manual_seed(sample.job.seed)
        beginning = family.begin(sample.job, sample.generator)
        history = get_sampler(sample.job.sampler).start(beginning.latent)
        encoded.append(Encoded(conditioning=conditioning, beginning=beginning, history=history))
    return encoded


@torch.inference_mode()
def denoise(family: Family, samples: Sequence[Sample]) -> list[Denoised]:
    """One step of every sample: one network call for all, then one vectorised step for those of a sampler and shape."""
    predicted = family.denoise([_noisy(sample) for sample in samples])
    alike: dict[tuple[str, torch.Size], list[int]] = {}
    for row, sample in enumerate(samples):
        alike.setdefault((sample.job.sampler, _latent(sample).shape), []).append(row)
    stepped: dict[int, Denoised] = {}
    for rows in alike.values():
        stepped |= zip(rows, _step([samples[row] for row in rows], [predicted[row] for row in rows]), strict=True)
    return [stepped[row] for row in range(len(samples))]


def _noisy(sample: Sample) -> Noisy:
    schedule = _present(sample.beginning).schedule
    return Noisy(
        job=sample.job,
        conditioning=_present(sample.conditioning),
        latent=_latent(sample),
        sigma=float(schedule.sigmas[sample.step]),
        timestep=float(schedule.timesteps[sample.step]),
        last=sample.step + 1 == sample.steps,
        cache=sample.cache,
    )


def _step(samples: Sequence[Sample], predicted: Sequence[Predicted]) -> list[Denoised]:
    """The step of samples of one sampler and latent shape."""
    sampler, latents = get_sampler(samples[0].job.sampler), torch.stack([_latent(sample) for sample in samples])
    sigma, sigma_next, timestep = _points(samples, latents)
    history = stack([_present(sample.history) for sample in samples])
    noise = _noise(sampler, samples, latents)
    clean = torch.stack([found.clean for found in predicted])
    latent, history = sampler.step(history, latents, clean, sigma, sigma_next, noise=noise, timestep=timestep)
    finite = torch.isfinite(latent).flatten(1).all(1).tolist()  # one transfer, for which the device is waited
    return [
        Denoised(
            latent=new.clone(),
            history=remembered,
            clean=found.clean,
            finite=good,
            cache=found.cache,
            share=found.share,
        )
        for new, remembered, found, good in zip(latent, unstack(history), predicted, finite, strict=True)
    ]


@torch.inference_mode()
def decode(family: Family, samples: Sequence[Sample]) -> list[Picture]:
    """Finished latents to pictures."""
    finished = [_latent(sample) * _present(sample.beginning).schedule.final_scale for sample in samples]
    return family.decode(torch.stack(finished), [sample.job for sample in samples])


@torch.inference_mode()
def preview(family: Family, sample: Sample, clean: torch.Tensor) -> Picture:
    """A picture of what the sample would become if it stopped now."""
    return family.decode(clean[None], [sample.job])[0]


def _points(samples: Sequence[Sample], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    schedules = [(_present(sample.beginning).schedule, sample.step) for sample in samples]
    rows = [
        [float(schedule.sigmas[step]), float(schedule.sigmas[step + 1]), float(schedule.timesteps[step])]
        for schedule, step in schedules
    ]
    sigma, sigma_next, timestep = torch.tensor(rows, dtype=torch.float32, device=like.device).unbind(1)
    return sigma, sigma_next, timestep


def _noise(sampler: Sampler, samples: Sequence[Sample], like: torch.Tensor) -> torch.Tensor | None:
    if not sampler.stochastic:
        return None
    drawn = [torch.randn(_latent(s).shape, generator=s.generator, dtype=torch.float32) for s in samples]
    return torch.stack(drawn).to(device=like.device, dtype=like.dtype)


def _latent(sample: Sample) -> torch.Tensor:
    return _present(sample.latent)


def _present(value: T | None) -> T:
    assert value is not None, "a sample was planned for a stage that it is not ready for"
    return value
