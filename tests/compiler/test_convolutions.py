"""Packed convolutions: what the untouched ones answer, and for a picture the same bits in any batch."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laterna.compiler.convolutions import Packed, pack_convolutions

pytestmark = pytest.mark.skipif(not torch._C._has_mkldnn, reason="oneDNN is not in this build of torch")
LARGEST = 9


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Conv2d:
    groups = draw(st.sampled_from([1, 1, 1, 4]))
    kernel = draw(st.sampled_from([1, 3]))
    torch.manual_seed(draw(st.integers(0, 99)))
    return nn.Conv2d(
        draw(st.sampled_from([4, 8, 32, 64])),
        draw(st.sampled_from([4, 16, 48])),
        kernel,
        stride=draw(st.sampled_from([1, 2])),
        padding=kernel // 2,
        groups=groups,
        bias=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.lists(st.tuples(st.integers(1, LARGEST), st.integers(3, 12)), min_size=1, max_size=6))
@torch.no_grad()
def test_every_picture_is_the_same_in_any_batch_and_order(module: nn.Conv2d, calls: list[tuple[int, int]]) -> None:
    untouched = copy.deepcopy(module)
    pack_convolutions(module)
    alone: dict[int, torch.Tensor] = {}
    for batch, side in calls:
        noise = torch.randn(LARGEST, module.in_channels, side, side + 1, generator=torch.Generator().manual_seed(side))
        answer = module(noise[:batch])
        assert torch.allclose(answer, untouched(noise[:batch]), atol=1e-5)
        first = alone.setdefault(side, answer[0])
        assert torch.equal(answer[0], first)


@torch.no_grad()
def test_the_untouched_weights_make_room_and_keep_shape_and_type() -> None:
    module = nn.Conv2d(8, 16, 3)
    pack_convolutions(module)
    assert module.weight.shape == (16, 8, 3, 3)
    assert module.weight.dtype == torch.float32
    assert module.weight.untyped_storage().nbytes() == 4


def test_what_cannot_be_packed_is_left_alone() -> None:
    modules = [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 1).half(),
    ]
    for module in modules:
        pack_convolutions(module)
        assert "forward" not in vars(module)


def test_a_packed_convolution_that_computes_something_else_is_found() -> None:
    module = nn.Conv2d(8, 8, 3)
    packed = Packed(module)
    nn.init.zeros_(module.weight)
    with pytest.raises(RuntimeError, match=r"differs by .* from the untouched one"):
        packed.check(module)
