"""What a model family does for the engine: words to conditioning, seed to latent, one denoising call, pictures.

A family has no loop, no queue and no state between calls. Its neighbours are the engine above it and the samplers
beside it, which step what it predicts. Latents travel in *sigma space*, x = x0 + sigma * noise for variance-preserving
models and x = (1 - sigma) * x0 + sigma * noise for flows, so that a sampler need not know the network.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from laterna.contracts.generation import TextToImage
from laterna.families.caching import Cache, Choice
from laterna.lora.adapters import Adapters
from laterna.samplers.schedule import Schedule

Stage = Literal["denoise", "decode"]
Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [h, w, 3], RGB


class Conditioning:
    """What a family made of one job's words; its own frozen dataclass of tensors, opaque to everybody else."""

    remarks: tuple[str, ...] = ()  # what the job's sender should know of how it was understood


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where a sample starts."""

    latent: torch.Tensor  # float32, sigma space, without a batch axis; on the family's device
    schedule: Schedule  # the sigmas and timesteps that it will go through


@dataclass(frozen=True, kw_only=True)
class Noisy:
    """One sample as a denoising call finds it."""

    job: TextToImage
    conditioning: Conditioning
    latent: torch.Tensor  # sigma space, without a batch axis
    sigma: float  # its noise level, above 0
    timestep: float  # what the network is told of the noise level
    last: bool = False  # whether this is its last step
    cache: Cache | None = None  # what its last step left for this one; absent at its first step and after a resume


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a denoising call gives one sample."""

    clean: torch.Tensor  # the latent without noise, of the noisy one's shape and type
    cache: Cache | None = None  # to be passed to its next step; absent for samples that never reuse
    share: float = 1.0  # of the network's work that ran for it: below 1 where it reused features


def predictions(clean: Sequence[torch.Tensor], choice: Choice, share: float) -> list[Predicted]:
    """What each sample of a call gets; `share` is the part of the network that runs where features are reused."""
    return [
        Predicted(clean=latent, cache=choice.kept.get(place), share=share if place in choice.skipping else 1.0)
        for place, latent in enumerate(clean)
    ]


class Family(Protocol):
    """One loaded model. Every method is safe under `torch.inference_mode` and outside of it."""

    resident_bytes: int  # parameters and buffers, measured
    samplers: tuple[str, ...]  # names that its jobs may ask for

    @property
    def adapters(self) -> Adapters | None:
        """What applies the LoRAs of its jobs; None for a network that takes none."""
        ...

    def grain(self) -> int:
        """Width and height are multiples of so many pixels."""
        ...

    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        """The conditioning of each job, by one call of the text encoders for all of them."""
        ...

    def begin(self, job: TextToImage, generator: torch.Generator) -> Beginning:
        """First latent and schedule; draws from `generator`, a CPU generator seeded by the caller.

        Raises InvalidInput: a sampler that does not fit this family, or a size that is no multiple of the grain.
        """
        ...

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        """The predicted clean latent of each sample, by one call of the network.

        Samples of one `batch_key` may differ in everything else; the negative halves of those with `cfg_scale` above 1
        ride in the same network call. Nothing that
        was passed in is changed.
        """
        ...

    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        """Pictures of clean latents [b, ...]."""
        ...

    def batch_key(self, job: TextToImage, stage: Stage) -> Hashable:
        """Samples with equal keys may share a call of the stage; any may share `encode`."""
        ...
