"""A family without a network: one flat colour of the seed. It measures the platform and tests what survives a crash.

Of the settings it reads `step_seconds` (0): how long every call of a stage takes. It takes every sampler and reads no
weights; its card says `builtin:none`. It has no layers to adapt, and refuses LoRAs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from laterna.contracts.generation import ModelRef, TextToImage
from laterna.families.checks import begin_schedule, check_job
from laterna.families.family import Beginning, Conditioning, Noisy, Picture, Predicted, Stage
from laterna.families.pictures import to_pictures
from laterna.families.settings import number_setting
from laterna.lora.adapters import Adapters
from laterna.lora.library import Library
from laterna.samplers import SAMPLERS
from laterna.samplers.noise import DiffusionNoise, FlowNoise

GRAIN = 8  # pixels


@dataclass(frozen=True, kw_only=True)
class Colour(Conditioning):
    rgb: torch.Tensor  # float32 [3], -1 .. 1


class Blank:
    """Latents are one colour, [3]."""

    resident_bytes: int = 0
    adapters: Adapters | None = None
    samplers: tuple[str, ...] = tuple(SAMPLERS)

    def __init__(self, device: torch.device, step_seconds: float) -> None:
        self._device = device
        self._step_seconds = step_seconds

    def grain(self) -> int:
        return GRAIN

    def batch_key(self, job: TextToImage, stage: Stage) -> Hashable:
        return None if stage == "denoise" else (job.width, job.height)

    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        self._work()
        return [Colour(rgb=_colour(job.seed).to(self._device)) for job in jobs]

    def begin(self, job: TextToImage, generator: torch.Generator) -> Beginning:
        check_job(job, samplers=self.samplers, grain=GRAIN, adaptable=False)
        schedule = begin_schedule(job, FlowNoise() if job.sampler.startswith("flow") else DiffusionNoise())
        noise = torch.randn(3, generator=generator) * schedule.noise_scale
        return Beginning(latent=noise.to(self._device), schedule=schedule)

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        self._work()
        return [Predicted(clean=_colour(sample.job.seed).to(sample.latent)) for sample in samples]

    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        self._work()
        return to_pictures(x.view(-1, 3, 1, 1).expand(-1, 3, jobs[0].height, jobs[0].width))

    def _work(self) -> None:
        if self._step_seconds:
            time.sleep(self._step_seconds)


def _colour(seed: int) -> torch.Tensor:
    """Three numbers in -1 .. 1 that look nothing like those of the next seed."""
    digest = hashlib.blake2s(seed.to_bytes(8, "big"), digest_size=3).digest()
    return torch.tensor([byte / 127.5 - 1 for byte in digest])


def load(ref: ModelRef, device: torch.device, dtype: torch.dtype, library: Library | None = None) -> Blank:
    """Raises ConfigError for a `step_seconds` that is no time."""
    return Blank(device, number_setting(ref, "step_seconds", 0.0))
