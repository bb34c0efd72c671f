"""What a request costs: whole nano-units, never rounded down to nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.billing.quotes import FREE, Price, quote
from laterna.contracts.generation import TextToImage


def job(width: int = 1024, height: int = 1024, count: int = 1) -> TextToImage:
    return TextToImage(prompt="", width=width, height=height, steps=1, sampler="euler", seed=0, count=count)


@pytest.mark.parametrize(("unit", "expected"), [("request", 10), ("image", 30), ("megapixel", 32), ("second", 0)])
def test_every_unit(unit: str, expected: int) -> None:
    assert quote(Price(unit=unit, nano=10), job(count=3)) == expected


def test_free_is_free() -> None:
    assert quote(FREE, job()) == 0


@given(st.integers(0, 10**12), st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 8))
def test_megapixels_are_exact_to_the_nano_unit(nano: int, width: int, height: int, count: int) -> None:
    asked = quote(Price(unit="megapixel", nano=nano), job(width, height, count))
    exact = Fraction(nano * width * height * count, 1_000_000)
    assert 0 <= asked - exact < 1
