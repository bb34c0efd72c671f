"""Steady linear layers: what the untouched ones answer, and for a position the same bits whatever lies beside it."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laterna.compiler.linears import enough_rows, steady_linears


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([(8, 8), (64, 200), (320, 960)]),
    st.lists(st.integers(1, 70), min_size=2, max_size=6),
    st.booleans(),
)
@torch.no_grad()
def test_every_position_is_the_same_in_any_company(sizes: tuple[int, int], rows: list[int], bias: bool) -> None:
    torch.manual_seed(1)
    module = nn.Linear(*sizes, bias=bias)
    untouched = copy.deepcopy(module)
    steady_linears(module)
    x = torch.randn(70, sizes[0])
    first = module(x[: rows[0]])[0]
    for count in rows:
        answer = module(x[:count])
        assert torch.allclose(answer, untouched(x[:count]), atol=1e-5)
        assert torch.equal(answer[0], first)


@torch.no_grad()
def test_leading_axes_are_kept_and_nothing_stays_nothing() -> None:
    module = nn.Linear(8, 4)
    steady_linears(module)
    assert module(torch.zeros(2, 3, 8)).shape == (2, 3, 4)
    assert module(torch.zeros(8)).shape == (4,)
    assert module(torch.zeros(2, 0, 8)).shape == (2, 0, 4)


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="promised with oneDNN only")
@pytest.mark.parametrize("threads", [1, 2])
def test_few_rows_are_enough(threads: int) -> None:
    """Else the last bits are not promised, and every small input is padded in vain."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert enough_rows.__wrapped__(threads) <= 8 * threads
    finally:
        torch.set_num_threads(before)
