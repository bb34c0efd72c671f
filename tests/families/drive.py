"""The engine's loop, as small as it can be: jobs of one family, alone or mixed, from words to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from laterna.contracts.generation import ModelRef, TextToImage
from laterna.families import load_family
from laterna.families.family import Beginning, Conditioning, Family, Picture
from laterna.samplers import get_sampler
from laterna.samplers.sampler import History, stack, unstack
from tests.families.checkpoints import T5_LENGTH

CPU = torch.device("cpu")


def load(family: str, weights: Path | str, **settings: str | int | float | bool) -> Family:
    if family == "flux":
        settings = {"max_sequence_length": T5_LENGTH, **settings}
    named = weights if isinstance(weights, str) else f"path:{weights}"
    ref = ModelRef(id="test/model", revision="1", family=family, weights=named, settings=settings, resident_bytes=1)
    return load_family(ref, CPU)


@dataclass(kw_only=True)
class Traveller:
    """One sample on its way."""

    job: TextToImage
    conditioning: Conditioning
    beginning: Beginning
    generator: torch.Generator
    latent: torch.Tensor = field(init=False)
    history: History = field(init=False)
    step: int = 0

    def __post_init__(self) -> None:
        self.latent = self.beginning.latent
        self.history = get_sampler(self.job.sampler).start(self.latent)

    @property
    def finished(self) -> bool:
        return self.step == len(self.beginning.schedule.timesteps)


def paint(family: Family, *jobs: TextToImage, late: Sequence[int] = ()) -> list[Picture]:
    """Pictures of all jobs, stepped together; job i joins after `late[i]` calls, so that step positions differ."""
    travellers = [set_out(family, job, c) for job, c in zip(jobs, family.encode(jobs), strict=True)]
    waits = [*late, *[0] * (len(jobs) - len(late))]
    for call in range(max(waits) + max(len(t.beginning.schedule.timesteps) for t in travellers)):
        under_way = [t for t, wait in zip(travellers, waits, strict=True) if call >= wait and not t.finished]
        if under_way:
            advance(family, under_way)
    assert all(t.finished for t in travellers)
    latents = torch.stack([t.latent * t.beginning.schedule.final_scale for t in travellers])
    return family.decode(latents, jobs)


def set_out(family: Family, job: TextToImage, conditioning: Conditioning) -> Traveller:
    generator = torch.Generator().manual_seed(job.seed)
    beginning = family.begin(job, generator)
    return Traveller(job=job, conditioning=conditioning, beginning=beginning, generator=generator)


def advance(family: Family, travellers: Sequence[Traveller]) -> None:
    """One denoise call for all, then each by its own sampler."""
    x = torch.stack([t.latent for t in travellers])
    sigma = torch.stack([t.beginning.schedule.sigmas[t.step] for t in travellers])
    timestep = torch.stack([t.beginning.schedule.timesteps[t.step] for t in travellers])
    assert len({family.batch_key(t.job) for t in travellers}) == 1
    clean = family.denoise(x, sigma, timestep, [t.conditioning for t in travellers], [t.job for t in travellers])
    for row, t in enumerate(travellers):
        sampler = get_sampler(t.job.sampler)
        one = slice(row, row + 1)
        noise = torch.randn(t.latent.shape, generator=t.generator)[None] if sampler.stochastic else None
        latent, history = sampler.step(
            stack([t.history]),
            x[one],
            clean[one],
            sigma[one],
            t.beginning.schedule.sigmas[t.step + 1][None],
            timestep=timestep[one],
            noise=noise,
        )
        t.latent, t.history, t.step = latent[0], unstack(history)[0], t.step + 1
