"""Ids are UUIDv7, rise strictly whatever the clock does, and say when they were made."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from laterna.store.ids import Ids, random_token, well_formed


@given(st.lists(st.integers(0, 2**47 * 1000), min_size=1, max_size=200))
def test_ids_rise_whatever_the_clock_does(moments: list[int]) -> None:
    ids = Ids()
    made = [ids.new(moment) for moment in moments]
    assert made == sorted(set(made))
    for text in made:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert well_formed(text)


def test_an_id_says_its_millisecond() -> None:
    assert uuid.UUID(Ids().new(1_700_000_000_123_999)).int >> 80 == 1_700_000_000_123


def test_many_ids_of_one_millisecond_differ() -> None:
    ids = Ids()
    assert len({ids.new(5_000_000) for _ in range(10_000)}) == 10_000


def test_what_is_no_id_is_seen() -> None:
    good = Ids().new(1)
    for bad in (
        "",
        "x",
        good.upper() + "0",
        good[:-1],
        good + "\n",
        "{" + good + "}",
        good.replace("-", ""),
        "\ud800" * 36,
    ):
        assert not well_formed(bad)


def test_tokens_are_long_and_differ() -> None:
    tokens = {random_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32
