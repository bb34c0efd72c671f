"""Model families: what networks of one kind need beyond the engine. A lazy table from names to loaders.

Outsiders add theirs by an entry point in the group `laterna.families`, again a name and `module:loader`. A loader takes
the model's reference, a device, a type of number and the library of adapters, and returns a
`laterna.families.family.Family`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from laterna.contracts.traits import GROUP, family_names
from laterna.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from laterna.contracts.generation import ModelRef
    from laterna.families.family import Family
    from laterna.lora.library import Library

    Loader = Callable[[ModelRef, torch.device, torch.dtype, Library | None], Family]

FAMILIES = {
    "blank": "laterna.families.blank:load",
    "flux": "laterna.families.flux.loading:load",
    "stable_diffusion": "laterna.families.stable_diffusion.loading:load",
}


def load_family(
    ref: ModelRef, device: torch.device, dtype: torch.dtype | None = None, library: Library | None = None
) -> Family:
    """Load a model onto a device, its networks in `dtype` (float32 when absent); without a library it takes no LoRAs.

    Raises ConfigError for an unknown family or a setting that it does not know; WeightsError for weights that are
    missing, unsafe or unreadable.
    """
    import torch

    return _loader(ref.family)(ref, device, dtype or torch.float32, library)


def _loader(name: str) -> Loader:
    if name in FAMILIES:
        module, _, attribute = FAMILIES[name].partition(":")
        return cast("Loader", getattr(import_module(module), attribute))
    for point in entry_points(group=GROUP, name=name):
        return cast("Loader", point.load())
    raise ConfigError(f"family: {name!r} is unknown; choose one of {', '.join(family_names())}")
