"""The grouped product against its plain reference, however rows, tokens, ranks and layers come together."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laterna.lora.adapter import Factors
from laterna.lora.layers import Layer
from laterna.lora.product import adapt, groups, reference
from laterna.lora.segments import Segments

LINEAR = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda sizes: nn.Linear(*sizes))
CONVOLUTION = st.tuples(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([(1, 0, 1), (3, 1, 1), (3, 0, 1), (3, 1, 2)]),
    st.integers(1, 2),
).map(lambda c: nn.Conv2d(c[0], c[1], c[2][0], padding=c[2][1], dilation=c[2][2], stride=c[3]))


@st.composite
def stacks(draw: st.DrawFn, layer: Layer, samples: int) -> dict[int, Factors]:
    """Factors of some of the samples, each of its own rank."""
    out, *into = layer.weight.shape
    having = draw(st.sets(st.integers(0, samples - 1)))
    ranks = {sample: draw(st.integers(1, 6)) for sample in having}
    return {sample: Factors(down=torch.randn(rank, *into), up=torch.randn(out, rank)) for sample, rank in ranks.items()}


@st.composite
def segments(draw: st.DrawFn, samples: int, *, lengths: st.SearchStrategy[int]) -> Segments:
    """Every sample has one segment or two, in any order."""
    owners = draw(st.permutations([*range(samples), *draw(st.sets(st.integers(0, samples - 1)))]))
    return Segments(lengths=tuple(draw(lengths) for _ in owners), owners=tuple(owners))


@torch.no_grad()
def check(layer: Any, x: torch.Tensor, factors: dict[int, Factors], laid: Segments) -> None:
    y = layer(x)
    found = adapt(layer, y.clone(), x, groups(factors, laid))
    torch.testing.assert_close(found, reference(layer, y, x, factors, laid), rtol=1e-4, atol=1e-4)
    parts = zip(laid.owners, torch.split(found, list(laid.lengths)), torch.split(y, list(laid.lengths)), strict=True)
    for owner, changed, before in parts:
        assert owner in factors or torch.equal(changed, before), "a sample without adapters changed"


@settings(max_examples=200, deadline=None)
@given(LINEAR, st.integers(1, 6), st.data())
def test_rows_of_a_linear_layer(layer: nn.Linear, samples: int, data: st.DataObject) -> None:
    laid = data.draw(segments(samples, lengths=st.just(1)))
    middle = data.draw(st.sampled_from([(), (1,), (5,), (2, 3)]))
    x = torch.randn(len(laid.owners), *middle, layer.in_features)
    check(layer, x, data.draw(stacks(layer, samples)), laid)


@settings(max_examples=200, deadline=None)
@given(LINEAR, st.integers(1, 6), st.data())
def test_packed_tokens_of_a_linear_layer(layer: nn.Linear, samples: int, data: st.DataObject) -> None:
    laid = data.draw(segments(samples, lengths=st.integers(0, 5)))
    check(layer, torch.randn(sum(laid.lengths), layer.in_features), data.draw(stacks(layer, samples)), laid)


@settings(max_examples=200, deadline=None)
@given(CONVOLUTION, st.integers(1, 6), st.data(), st.booleans())
def test_rows_of_a_convolution(layer: nn.Conv2d, samples: int, data: st.DataObject, channels_last: bool) -> None:
    laid = data.draw(segments(samples, lengths=st.just(1)))
    x = torch.randn(len(laid.owners), layer.in_channels, data.draw(st.integers(5, 9)), data.draw(st.integers(5, 9)))
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    check(layer, x, data.draw(stacks(layer, samples)), laid)
