"""Which sample each part of a layer's input belongs to, while samples of one call lie packed along its first axis.

A family says it before it calls layers (`lay`), and layers that treat samples differently, such as those that carry
adapters, look it up (`laid`). A batch of whole rows is the case of segments of length 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch


@dataclass(frozen=True, kw_only=True)
class Span:
    """Neighbouring segments of one length: a plain batch within a packed tensor."""

    segments: slice  # which of the segments
    positions: slice  # where they lie on the first axis
    length: int  # of each


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The first axis of a packed tensor, in order. A guided sample owns several segments."""

    lengths: tuple[int, ...]  # positions of each segment
    owners: tuple[int, ...]  # the sample of each segment, by its place in the call

    @classmethod
    def of_rows(cls, owners: tuple[int, ...]) -> Segments:
        """A batch of whole rows."""
        return cls(lengths=(1,) * len(owners), owners=owners)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Runs of equal length; as few as there are lengths if the segments were sorted by it."""
        found, at, before = [], 0, 0
        for length, run in groupby(self.lengths):
            count = len(list(run))
            ends = at + count * length
            found.append(Span(segments=slice(before, before + count), positions=slice(at, ends), length=length))
            at, before = ends, before + count
        return tuple(found)

    def split(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """A packed tensor's segments."""
        return list(torch.split(packed, list(self.lengths)))

    def take(self, segments: Sequence[int], packed: torch.Tensor) -> torch.Tensor:
        """Some segments of a packed tensor, packed again."""
        parts = self.split(packed)
        return torch.cat([parts[segment] for segment in segments])


_laid: ContextVar[Segments | None] = ContextVar("laid", default=None)


def lay(segments: Segments) -> None:
    """Say how the inputs of the layers that are called next lie; holds until the next word or the end of `packing`."""
    _laid.set(segments)


def laid() -> Segments | None:
    """How the input of the layer that is being called lies; None where nobody said, as outside of denoising."""
    return _laid.get()


@contextmanager
def packing() -> Iterator[None]:
    """Around a network's call: what was laid within does not outlast it."""
    token = _laid.set(None)
    try:
        yield
    finally:
        _laid.reset(token)
