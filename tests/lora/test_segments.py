"""Segments: spans cover the axis in order, and what is laid ends with the network's call."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from laterna.families.flux.packed import Layout, add, join, modulate, part
from laterna.lora.segments import Segments, laid, lay, packing

lengths = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(lengths)
def test_spans_cover_the_axis_in_order(lengths: list[int]) -> None:
    spans = Segments(lengths=tuple(lengths), owners=tuple(range(len(lengths)))).spans
    assert [length for s in spans for length in [s.length] * (s.segments.stop - s.segments.start)] == lengths
    assert spans[0].positions.start == spans[0].segments.start == 0
    assert spans[-1].positions.stop == sum(lengths)
    for one, following in pairwise(spans):
        assert one.length != following.length
        assert (one.positions.stop, one.segments.stop) == (following.positions.start, following.segments.start)


@given(lengths, st.integers(1, 4))
def test_packed_rows_are_changed_by_their_own_numbers(lengths: list[int], text: int) -> None:
    """Against the same arithmetic on each row by itself."""
    layout = Layout.of(range(len(lengths)), text, lengths)
    noise = torch.Generator().manual_seed(sum(lengths))
    texts = [torch.randn(text, 3, generator=noise) for _ in lengths]
    images = [torch.randn(length, 3, generator=noise) for length in lengths]
    shift, scale = torch.randn(2, len(lengths), 3, generator=noise)
    image = torch.cat(images)
    expected = torch.cat([x * (1 + a) + b for x, a, b in zip(images, scale, shift, strict=True)])
    torch.testing.assert_close(modulate(layout.image, image, shift, scale), expected)
    expected = torch.cat([x + a * x.sin() for x, a in zip(images, scale, strict=True)])
    torch.testing.assert_close(add(layout.image, image, scale, image.sin()), expected)
    joint = join(layout, torch.cat(texts), image)
    assert torch.equal(joint, torch.cat([x for pair in zip(texts, images, strict=True) for x in pair]))
    assert all(map(torch.equal, part(layout, joint), (torch.cat(texts), image)))


def test_what_is_laid_ends_with_the_call() -> None:
    rows = Segments.of_rows((0, 1, 0))
    with packing():
        assert laid() is None
        lay(rows)
        assert laid() is rows
    assert laid() is None
