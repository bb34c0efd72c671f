"""A sample: one latent being generated. The engine owns and mutates it; nobody else sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from laterna.contracts.generation import Generation
from laterna.engine.run import Run
from laterna.families.family import Beginning, Conditioning

if TYPE_CHECKING:
    from laterna.families.caching import Cache
    from laterna.samplers.sampler import History


@dataclass(kw_only=True, eq=False)
class Sample:
    """What a sample remembers between two calls. The stage that it needs next follows from what is there."""

    run: Run  # the request that it belongs to
    index: int  # which of the request's samples
    job: Generation  # the request's, with the sample's own seed
    generator: torch.Generator  # on the CPU, so that noise is the same on every device
    conditioning: Conditioning | None = None  # absent until encoded
    beginning: Beginning | None = None  # first latent and schedule; absent until encoded
    latent: torch.Tensor | None = None  # sigma space, without a batch axis; absent until encoded
    history: History | None = None  # the sampler's; absent until encoded
    cache: Cache | None = None  # features that its next step may reuse; absent where there are none
    step: int = 0  # denoising steps done

    @property
    def steps(self) -> int:
        """Denoising steps in all; the schedule may hold another number than was asked for."""
        return self.job.steps if self.beginning is None else len(self.beginning.schedule.timesteps)

    @property
    def stage(self) -> Literal["encode", "denoise", "decode"]:
        if self.latent is None:
            return "encode"
        return "denoise" if self.step < self.steps else "decode"


def progress(run: Run, left: Sequence[Sample]) -> tuple[int, int]:
    """Denoising steps that the run has done, and of how many; samples not `left` any more did all of theirs."""
    job = run.order.generation
    over = (job.count - len(left)) * job.steps
    return over + sum(sample.step for sample in left), over + sum(sample.steps for sample in left)
