"""The type of numbers: the fastest that was measured among those allowed, the preferred one where they are close."""

from __future__ import annotations

import pytest
import torch

from laterna.compiler.dtypes import dtype_name, fastest, named_dtype, times

NAMES = ("float32", "bfloat16", "float16")


@pytest.mark.parametrize(
    ("bfloat16", "float16", "chosen"),
    [
        (0.5, 0.5, "bfloat16"),
        (0.5, 0.47, "bfloat16"),
        (0.5, 0.3, "float16"),
        (0.95, 0.95, "float32"),
        (5.0, 40.0, "float32"),
        (None, 0.5, "float16"),
    ],
)
def test_a_narrow_type_must_be_measured_to_be_faster(bfloat16: float | None, float16: float, chosen: str) -> None:
    took = {"float32": 1.0, "float16": float16} | ({} if bfloat16 is None else {"bfloat16": bfloat16})
    assert fastest(took, NAMES) == chosen
    assert fastest(took, ("float32",)) == "float32", "what is not exact enough is not chosen, however fast"


def test_types_of_which_none_was_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="float8"):
        fastest({"float32": 1.0}, ("float8",))


def test_every_type_is_measured_here_against_float32() -> None:
    took = times(torch.device("cpu"))
    assert set(took) == set(NAMES)
    assert took["float32"] == 1.0
    assert min(took.values()) > 0


def test_types_go_by_their_names() -> None:
    assert [dtype_name(named_dtype(name)) for name in NAMES] == list(NAMES)
    with pytest.raises(ValueError, match="float8"):
        named_dtype("float8")
