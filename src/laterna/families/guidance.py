"""Classifier-free guidance in a mixed batch: who needs a negative half, and how the halves become one prediction.

arXiv:2207.12598, in the form negative + scale * (positive - negative). Only samples that are guided cost a second row;
all rows go through the network in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from laterna.contracts.generation import TextToImage


def is_guided(job: TextToImage) -> bool:
    return job.cfg_scale > 1


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one network call: all samples in order, then the negative halves of the guided ones in order."""

    samples: int
    guided: tuple[int, ...]  # samples with a negative half
    scales: tuple[float, ...]  # of the guided samples

    @classmethod
    def of(cls, jobs: Sequence[TextToImage], wanted: Sequence[bool]) -> Rows:
        guided = tuple(i for i, asked in enumerate(wanted) if asked)
        return cls(samples=len(jobs), guided=guided, scales=tuple(jobs[i].cfg_scale for i in guided))

    @property
    def owners(self) -> tuple[int, ...]:
        """The sample of each row."""
        return (*range(self.samples), *self.guided)

    def expand(self, per_sample: torch.Tensor) -> torch.Tensor:
        """[samples, ...] -> [rows, ...]: a value that both halves share."""
        return torch.cat([per_sample, per_sample[list(self.guided)]]) if self.guided else per_sample

    def combine(self, predicted: torch.Tensor) -> torch.Tensor:
        """[rows, ...] -> [samples, ...]: the guided prediction of each sample."""
        if not self.guided:
            return predicted
        positive, negative = predicted[: self.samples], predicted[self.samples :]
        scale = torch.tensor(self.scales, dtype=predicted.dtype, device=predicted.device)
        scale = scale.view(-1, *[1] * (predicted.ndim - 1))
        at = list(self.guided)
        combined = positive.clone()
        combined[at] = negative + scale * (positive[at] - negative)
        return combined

    def combine_each(self, predicted: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The same for rows of different shapes: one tensor a row to one a sample."""
        combined = list(predicted[: self.samples])
        for at, scale, negative in zip(self.guided, self.scales, predicted[self.samples :], strict=True):
            combined[at] = negative + scale * (combined[at] - negative)
        return combined
