"""What a card says. Read from TOML by `laterna.catalog.reading`, found by `laterna.catalog.catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from laterna.contracts.contract import Contract
from laterna.contracts.generation import ModelRef

# What a price is for: second is of video or sound that was made, device_second of the published solo cost.
PRICE_UNITS = ("image", "megapixel", "second", "character", "device_second", "request")


@dataclass(frozen=True, kw_only=True)
class Solo:
    """What the model revision takes when it has a device for itself, as published: device time is priced by it."""

    image_us: int  # microseconds for a picture besides its steps: encoding and decoding
    megapixel_step_us: int  # microseconds for a denoising step of a megapixel; guidance makes two of each


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one unit of output costs its tenant."""

    unit: str = "image"  # one of PRICE_UNITS
    nano: int = 0  # billionths of the currency for a unit
    currency: str = "USD"  # ISO 4217
    solo: Solo | None = None  # present where the unit is device_second


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One way to call a model."""

    path: str = ""  # below the card's id; empty for the model itself
    category: str  # text-to-image, image-to-image, ...
    contract: Contract  # narrowed to the card

    def id(self, card: Card) -> str:
        return f"{card.id}/{self.path}" if self.path else card.id


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model: a family's code plus weights."""

    id: str  # owner/name[/variant]
    name: str  # for people
    description: str = ""
    family: str  # a name of `laterna.families`
    weights: str  # builtin:NAME, path:FOLDER-OR-FILE or hub:OWNER/NAME[@REVISION]
    revision: str  # of the weights
    licence: str  # SPDX id, or the licence's own name
    licence_url: str = ""
    commercial: bool = True  # whether the licence lets the outputs' maker earn money with the model
    tags: tuple[str, ...] = ()
    resident_bytes: int  # expected size on the device at 16 bits a number
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)  # the family's own knobs
    price: Price = Price()
    endpoints: tuple[Endpoint, ...]

    @property
    def source(self) -> str:
        """Where the weights are, without the commit that a hub's are pinned to."""
        return self.weights.partition("@")[0] if self.weights.startswith("hub:") else self.weights

    def ref(self) -> ModelRef:
        """The part that a worker needs."""
        return ModelRef(
            id=self.id,
            revision=self.revision,
            family=self.family,
            weights=self.weights,
            settings=dict(self.settings),
            resident_bytes=self.resident_bytes,
        )
