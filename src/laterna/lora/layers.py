"""A model's layers by all the names that adapters call them.

Every linear and convolutional layer of the denoising network and of the text encoders has its name in diffusers and
transformers, the same with underscores for dots (kohya), and, where a family says so, that of the model's authors; each
behind the prefixes that tools write. One table holds them all, so that reading an adapter is looking names up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

Layer = nn.Linear | nn.Conv2d
DENOISERS = ("unet", "transformer")
ENCODERS = ("text_encoder", "text_encoder_2")
DOTTED = ("", "base_model.model.", "diffusion_model.", "model.diffusion_model.")  # before a denoiser's layers
FLAT = {  # of each network, before names with underscores
    "denoiser": ("lora_unet_", "lora_transformer_"),
    "text_encoder": ("lora_te_", "lora_te1_"),
    "text_encoder_2": ("lora_te2_", "lora_te3_"),
}
WRAP = "text_model."  # some releases of transformers wrap the text model, and adapters come from both


@dataclass(frozen=True, kw_only=True)
class Place:
    """One layer of a model."""

    part: str  # unet, transformer, text_encoder or text_encoder_2
    name: str  # in the network, dotted


@dataclass(frozen=True, kw_only=True)
class Names:
    """The layers of the network that one of the authors' layers became."""

    layers: tuple[str, ...]  # in the order of their rows in the original's output
    swapped: bool = False  # whether the halves of its output changed places


class Layers:
    """What can be adapted."""

    def __init__(self, networks: Mapping[str, nn.Module], original: Mapping[str, Names]) -> None:
        """
        Args:
            networks: by part; the denoiser's is `unet` or `transformer`.
            original: layers of the denoiser by the names that the model's authors gave them.
        """
        self.modules: dict[Place, Layer] = {
            Place(part=part, name=name): module
            for part, network in networks.items()
            for name, module in network.named_modules()
            if isinstance(module, Layer)
        }
        self._names: dict[str, tuple[Place, ...]] = {}
        self._swapped: set[str] = set()
        for place in self.modules:
            self._add(place.part, place.name, (place,))
        for part in networks.keys() & set(DENOISERS):
            for name, became in original.items():
                places = tuple(Place(part=part, name=layer) for layer in became.layers)
                if self.modules.keys() >= set(places):  # else a norm, or a layer that this checkpoint lacks
                    self._add(part, name, places, became.swapped)

    def find(self, stem: str) -> tuple[Place, ...]:
        """The layers that an adapter's name means, several where it has them fused; none for a name nobody knows."""
        return self._names.get(stem, ())

    def is_swapped(self, stem: str) -> bool:
        """Whether the halves of the rows change places."""
        return stem in self._swapped

    def _add(self, part: str, name: str, places: tuple[Place, ...], swapped: bool = False) -> None:
        for alias in _aliases(part, name):
            self._names.setdefault(alias, places)
            if swapped:
                self._swapped.add(alias)


def _aliases(part: str, name: str) -> Iterator[str]:
    if part in DENOISERS:
        yield from (f"{prefix}{name}" for prefix in DOTTED)
        yield from (f"{prefix}{kind}.{name}" for kind in DENOISERS for prefix in ("", "base_model.model."))
        yield from (f"{prefix}{name.replace('.', '_')}" for prefix in FLAT["denoiser"])
        return
    bare = name.removeprefix(WRAP)
    older = re.sub(r"self_attn\.(q|k|v|out)_proj$", r"self_attn.to_\1", bare)
    for spelled in (bare, f"{WRAP}{bare}", older, f"{WRAP}{older}"):
        yield from (f"{prefix}{part}.{spelled}" for prefix in ("", "base_model.model."))
        yield from (f"{prefix}{spelled.replace('.', '_')}" for prefix in FLAT.get(part, ()))
