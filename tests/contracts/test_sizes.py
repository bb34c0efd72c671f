"""Sizes: presets, limits and rounding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from laterna.contracts.sizes import PRESETS, ImageSize, SizeLimits, pixels, size_type

SIDES = st.integers(1, 14142)


@given(SIDES, SIDES, st.integers(1, 64))
def test_sides_become_the_next_lower_multiples(width: int, height: int, grain: int) -> None:
    made = pixels(ImageSize(width=width, height=height), grain)
    for side, asked in zip(made, (width, height), strict=True):
        assert side % grain == 0
        assert asked - grain < side <= max(asked, grain)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_kept_by_every_usual_grain(preset: str) -> None:
    assert pixels(preset, 8) == pixels(preset, 16) == PRESETS[preset]


@given(st.integers(64, 4096), st.integers(64, 4096))
def test_only_sides_within_the_limits_pass(width: int, height: int) -> None:
    adapter = TypeAdapter(size_type(SizeLimits(smallest=256, largest=1024)))
    fits = 256 <= width <= 1024 and 256 <= height <= 1024
    try:
        adapter.validate_python({"width": width, "height": height})
    except ValidationError:
        assert not fits
    else:
        assert fits


def test_presets_outside_the_limits_are_not_offered() -> None:
    adapter = TypeAdapter(size_type(SizeLimits(smallest=256, largest=768)))
    assert adapter.validate_python("square") == "square"
    with pytest.raises(ValidationError, match=r"'square', or .*256 to 768"):
        adapter.validate_python("square_hd")
