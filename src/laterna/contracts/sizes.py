"""`image_size`: fal's presets or a width and a height, within a model's limits, rounded down to its grain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, create_model
from pydantic_core import PydanticCustomError

PRESETS: dict[str, tuple[int, int]] = {  # name -> width, height in pixels
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
LARGEST = 14142  # pixels a side; fal's own limit, and the most that a card may say
ALLOWED = 2048  # pixels a side where a card says nothing: what devices can be trusted to hold
USUAL = 512  # pixels a side where one of the two is not given


@dataclass(frozen=True, kw_only=True)
class SizeLimits:
    """What sizes a model makes."""

    smallest: int = 1  # pixels a side
    largest: int = ALLOWED  # pixels a side
    grain: int = 8  # sides are rounded down to multiples of it, as diffusers does

    def holds(self, width: int, height: int) -> bool:
        return all(self.smallest <= side <= self.largest for side in (width, height))


class ImageSize(BaseModel):
    """Width and height in pixels."""

    width: int = Field(USUAL, gt=0, le=LARGEST, description="The width of the generated image.")
    height: int = Field(USUAL, gt=0, le=LARGEST, description="The height of the generated image.")


def size_type(limits: SizeLimits) -> Any:
    """The annotation of an `image_size` field within the limits: the presets that fit, or a width and a height.

    A sender who names a preset gets problems about presets alone, and one who gives an object about its fields alone.
    """
    side = (int, Field(min(USUAL, limits.largest), ge=max(1, limits.smallest), le=limits.largest))
    size = create_model("ImageSize", __base__=ImageSize, __doc__=ImageSize.__doc__, width=side, height=side)
    fitting = tuple(name for name, (width, height) in PRESETS.items() if limits.holds(width, height))
    check = BeforeValidator(lambda value: _checked(value, limits, fitting))
    if not fitting:
        return Annotated[size, check]
    preset = Literal[fitting]  # type: ignore[valid-type]
    return Annotated[Union[Annotated[size, Tag("size")], Annotated[preset, Tag("preset")]], Discriminator(_kind), check]  # noqa: UP007


def pixels(size: ImageSize | str, grain: int) -> tuple[int, int]:
    """Width and height to generate: multiples of the grain, never larger than asked, at least one grain."""
    width, height = PRESETS[size] if isinstance(size, str) else (size.width, size.height)
    return max(grain, width - width % grain), max(grain, height - height % grain)


def _kind(value: object) -> str:
    return "preset" if isinstance(value, str) else "size"


def _checked(value: object, limits: SizeLimits, fitting: tuple[str, ...]) -> object:
    """Refuse what is neither, in words that name what is possible."""
    if isinstance(value, ImageSize):
        return value.model_dump()
    if isinstance(value, dict) or value in fitting:
        return value
    sides = {"ge": limits.smallest, "le": limits.largest}
    either = f"{' or '.join(map(repr, fitting))}, or " if fitting else ""
    wanted = either + '{{"width": W, "height": H}} with sides from {ge} to {le} pixels'
    raise PydanticCustomError("image_size", f"Input should be {wanted}", sides)
