"""What a sampler is, and what it remembers of a sample between two steps.

A sampler keeps no state: the history goes in and comes out, one row per sample, so that a batch may hold samples on
their first, some later and their last step. Histories of single samples are stacked for a call and unstacked after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import torch

from laterna.samplers.noise import NoiseSchedule
from laterna.samplers.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class History:
    """Tensors without a batch axis for one sample, with a leading one when stacked. Samplers add fields of theirs."""

    steps: torch.Tensor  # steps taken so far; int64, [] or [b]


class Sampler(Protocol):
    """One algorithm. Instances are constants that hold nothing but their name and options."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def stochastic(self) -> bool:
        """Whether each step needs unit noise, drawn afresh for every sample."""

    def schedule(self, steps: int, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
        """Where `steps` steps (at least 1) go, as the diffusers scheduler of that name would lay them out.

        `tokens` is the length of the image's token sequence; only flow models whose shift depends on it need it.
        ValueError for a model of the other kind and for more steps than the model can tell apart.
        """

    def start(self, x: torch.Tensor) -> History:
        """The history of one sample before its first step; x is [c, h, w] or [tokens, dim], without a batch axis."""

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
        """One step of b samples at once: x and its history at `sigma_next`. Nothing that was passed in is changed.

        x, denoised and noise are [b, ...] in sigma space, denoised being the network's prediction of x0; sigma (above
        0), sigma_next (0 or more) and timestep are [b]. `noise` is required of stochastic samplers, ignored by others.
        """


AnyHistory = TypeVar("AnyHistory", bound=History)


def stack(histories: Sequence[AnyHistory]) -> AnyHistory:
    """One history of b samples from b histories of one sample each, all of one sampler and one latent shape."""
    kinds = {type(history).__name__ for history in histories}
    if len(kinds) != 1:
        raise ValueError(f"histories: cannot stack {sorted(kinds) or 'none at all'}; pass those of one sampler")
    columns = zip(*(tensors(history).items() for history in histories), strict=True)
    stacked = {column[0][0]: torch.stack([tensor for _, tensor in column]) for column in columns}
    return replace(histories[0], **stacked)


def unstack(history: AnyHistory) -> list[AnyHistory]:
    """The b histories that a stacked one holds; copies, so that one that waits does not keep the whole batch alive."""
    columns = {name: tensor.unbind() for name, tensor in tensors(history).items()}
    rows = range(len(columns["steps"]))
    return [replace(history, **{name: column[row].clone() for name, column in columns.items()}) for row in rows]


def tensors(history: History) -> dict[str, torch.Tensor]:
    """What a checkpoint stores of a history, by field name."""
    return {field.name: getattr(history, field.name) for field in fields(history)}


def restore(start: AnyHistory, stored: Mapping[str, torch.Tensor]) -> AnyHistory:
    """The history that `tensors` stored; `start` is a fresh one of the same sampler and sample, or ValueError."""
    fresh = tensors(start)
    if {name: t.shape for name, t in fresh.items()} != {name: t.shape for name, t in stored.items()}:
        raise ValueError(f"history: {sorted(stored)} were not stored from a {type(start).__name__} of this sample")
    return replace(start, **{name: tensor.to(fresh[name]) for name, tensor in stored.items()})


def fresh_history(x: torch.Tensor) -> History:
    """The history of samplers that look at nothing but the present."""
    return History(steps=torch.zeros((), dtype=torch.int64, device=x.device))


def expect(history: History, kind: type[AnyHistory]) -> AnyHistory:
    """The history as the kind that a sampler keeps; TypeError for another sampler's."""
    if not isinstance(history, kind):
        raise TypeError(f"history: a {type(history).__name__} is not a {kind.__name__}; pass what start() returned")
    return history
