"""What a request costs: whole nano-units, never rounded down to nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.billing.quotes import FREE, Price, Quote, quote
from laterna.catalog.card import PRICE_UNITS, Solo
from laterna.contracts.generation import TextToImage


def job(width: int = 1024, height: int = 1024, count: int = 1, **changes: Any) -> TextToImage:
    given_: dict[str, Any] = {"prompt": "", "steps": 1, "sampler": "euler", "seed": 0, **changes}
    return TextToImage(width=width, height=height, count=count, **given_)


SOLO = Solo(image_us=2_000_000, megapixel_step_us=500_000)


@pytest.mark.parametrize(
    ("unit", "micro", "amount"),
    [
        ("request", 1_000_000, 10),
        ("image", 3_000_000, 30),
        ("megapixel", 3_145_728, 32),
        ("second", 0, 0),
        ("character", 5_000_000, 50),
        ("device_second", 3 * 2_000_000 + 1_572_864, 76),
    ],
)
def test_every_unit(unit: str, micro: int, amount: int) -> None:
    asked = quote(Price(unit=unit, nano=10, solo=SOLO), job(count=3, prompt="a fox"))
    assert asked == Quote(amount_nano=amount, quantity_micro=micro)
    assert set(PRICE_UNITS) == {"request", "image", "megapixel", "second", "character", "device_second"}


def test_free_is_free() -> None:
    assert quote(FREE, job()).amount_nano == 0


def test_guided_steps_cost_twice_of_unguided_ones() -> None:
    price = Price(unit="device_second", nano=10**9, solo=Solo(image_us=0, megapixel_step_us=10))
    plain, guided = (quote(price, job(1000, 1000, cfg_scale=scale, steps=7)) for scale in (1.0, 5.0))
    assert (plain.quantity_micro, guided.quantity_micro) == (70, 140)


@given(st.integers(0, 10**12), st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 8))
def test_megapixels_are_exact_to_the_nano_unit(nano: int, width: int, height: int, count: int) -> None:
    asked = quote(Price(unit="megapixel", nano=nano), job(width, height, count)).amount_nano
    exact = Fraction(nano * width * height * count, 1_000_000)
    assert 0 <= asked - exact < 1


@given(st.integers(0, 10**12), st.integers(-3, 60), st.integers(0, 50))
def test_a_part_is_never_more_than_its_share_and_never_more_than_the_whole(nano: int, done: int, of: int) -> None:
    whole = Quote(amount_nano=nano, quantity_micro=1_000_000)
    part = whole.part(done, of)
    assert 0 <= part.amount_nano <= whole.amount_nano
    if of and 0 <= done <= of:
        assert 0 <= Fraction(nano * done, of) - part.amount_nano < 1
    assert whole.part(of, of) == (whole if of else Quote(amount_nano=0, quantity_micro=0))
