"""Hostile JSON gets a short answer and costs nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.api.bodies import DEEPEST, parse_json
from laterna.api.errors import BadRequest

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_nothing_is_an_empty_object() -> None:
    assert parse_json(b"") == parse_json(b" \n") == {}


@pytest.mark.parametrize(
    "body",
    [b"{", b"nope", b"\xff\xfe", b"NaN", b"1e999", b'"\\ud800"', b"9" * 5000, b"[" * 1_000_000, b'{"a":' * 200_000,
     b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)],
)  # fmt: skip
def test_what_is_no_json_is_refused_briefly(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert len(caught.value.message) < 300


def test_the_deepest_allowed_passes() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        parse_json(body)
    except BadRequest as error:
        refused = error.message
        assert refused.startswith("the body is ")
