"""The stacks of one call's samples: each sample's adapters merged along the rank, and stacked for each layer.

A composition serves all calls of the same samples. What a layer needs is prepared when it is first called, and anew
only where its input lies otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from laterna.lora.adapter import Adapter, Factors
from laterna.lora.layers import Layer, Place
from laterna.lora.product import Group, groups
from laterna.lora.segments import Segments

Scaled = tuple[float, Adapter]


class Composition:
    """What the samples of a call change, by place."""

    def __init__(self, samples: Sequence[Sequence[Scaled]], parts: tuple[str, ...]) -> None:
        """`samples`: scales and adapters of each, none for a sample that has none; only layers of `parts` count."""
        self._factors: dict[Place, dict[int, list[tuple[float, Factors]]]] = {}
        self._ready: dict[nn.Module, tuple[Segments, tuple[Group, ...]]] = {}
        for number, stack in enumerate(samples):
            for scale, adapter in stack:
                for place, factors in adapter.factors.items():
                    if place.part in parts:
                        self._factors.setdefault(place, {}).setdefault(number, []).append((scale, factors))

    def places(self) -> Sequence[Place]:
        """The layers that any sample changes."""
        return tuple(self._factors)

    @property
    def resident_bytes(self) -> int:
        """What has been stacked so far."""
        stacked = [group for _, groups in self._ready.values() for group in groups]
        return sum(group.down.nbytes + group.up.nbytes for group in stacked)

    def groups(self, layer: Layer, place: Place, segments: Segments) -> Sequence[Group]:
        """The changes of a layer whose input lies in `segments`; none where no sample changes it."""
        ready = self._ready.get(layer)
        if ready is None or ready[0] != segments:
            merged = {number: _merge(several) for number, several in self._factors.get(place, {}).items()}
            ready = self._ready[layer] = (segments, groups(merged, segments))
        return ready[1]


@torch.inference_mode()
def _merge(several: Sequence[tuple[float, Factors]]) -> Factors:
    """Adapters side by side along the rank, their scales within: the sum of their changes."""
    return Factors(
        down=torch.cat([factors.down for _, factors in several]),
        up=torch.cat([factors.up * scale for scale, factors in several], dim=1),
    )
