"""An adapter fitted to one model: for each layer that it changes two factors, in the layer's own type and place.

Refuses an adapter whose factors do not have the shapes of the layers that they name, or that names none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from laterna.errors import AdapterMismatch
from laterna.lora.alphas import Alphas
from laterna.lora.keys import Pair, pairs
from laterna.lora.layers import Layer, Layers, Place
from laterna.lora.reading import AdapterFile

SHOWN = 3  # names that a message lists


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The change of one layer: y + up (down x)."""

    down: torch.Tensor  # [rank, in] of a linear layer, [rank, in, h, w] of a convolution
    up: torch.Tensor  # [out, rank], alpha / rank within

    @property
    def rank(self) -> int:
        return len(self.down)


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """Immutable, shared by all samples that use it."""

    factors: Mapping[Place, Factors]
    unmatched: tuple[str, ...]  # names in its file that no layer has
    resident_bytes: int

    def remark(self) -> str | None:
        """What its user should know; None when all of it is applied."""
        if not self.unmatched:
            return None
        shown = ", ".join(self.unmatched[:SHOWN])
        return f"{len(self.unmatched)} of its tensors match no layer of this model and have no effect: {shown}"


def fit(file: AdapterFile, layers: Layers) -> Adapter:
    """Raises AdapterMismatch, UnsupportedAdapter or UnreadableAdapter."""
    found, unmatched = pairs(file.tensors)
    alphas = Alphas(file)
    factors: dict[Place, Factors] = {}
    unknown = []
    for stem, pair in found.items():
        places = layers.find(stem)
        if not places:
            unknown.append(stem)
        for place, up in _ups(stem, pair, places, layers):
            scale = alphas.scale(place.part, place.name, pair)
            factors[place] = _factors(stem, pair.down, up, scale, layers.modules[place])
    if not factors:
        named = ", ".join([*unknown, *unmatched][:SHOWN]) or "nothing"
        raise AdapterMismatch(
            f"no layer of this model is named in the adapter, which has {named}; choose one made for it"
        )
    sizes = {t.data_ptr(): t.nbytes for f in factors.values() for t in (f.down, f.up)}  # fused layers share `down`
    return Adapter(factors=factors, unmatched=(*unknown, *unmatched), resident_bytes=sum(sizes.values()))


def _ups(stem: str, pair: Pair, places: Sequence[Place], layers: Layers) -> Iterator[tuple[Place, torch.Tensor]]:
    """The rows of `up` that belong to each layer."""
    up = pair.up.flatten(1)
    widths = [layers.modules[place].weight.shape[0] for place in places]
    if places and sum(widths) != len(up):
        raise _mismatch(stem, pair, f"{sum(widths)} outputs")
    if layers.is_swapped(stem):
        up = torch.cat(up.chunk(2)[::-1])
    yield from zip(places, torch.split(up, widths), strict=True) if places else ()


def _factors(stem: str, down: torch.Tensor, up: torch.Tensor, scale: float, layer: Layer) -> Factors:
    """In the layer's type and place. Linear layers and convolutions of one pixel take each other's factors."""
    weight = layer.weight
    wanted = (len(down), *weight.shape[1:])
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        raise AdapterMismatch(f"the adapter's {stem!r} is a grouped convolution here, which takes no factors")
    if down.numel() != torch.Size(wanted).numel() or (down.ndim == 4 and weight.ndim == 4 and down.shape != wanted):
        raise AdapterMismatch(
            f"the adapter's {stem!r} has the shape {list(down.shape)} where this model's layer takes {list(wanted)}; "
            "choose an adapter made for this model"
        )
    scaled = up.to(torch.float32) * scale
    return Factors(down=down.reshape(wanted).to(weight).contiguous(), up=scaled.to(weight).contiguous())


def _mismatch(stem: str, pair: Pair, wanted: str) -> AdapterMismatch:
    return AdapterMismatch(
        f"the adapter's {stem!r} has the shape {list(pair.up.shape)} where this model's layer has {wanted}; "
        "choose an adapter made for this model"
    )
