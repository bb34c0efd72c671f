"""The grouped low-rank product: one call changes a layer's output for all rows of a batch, each by factors of its own.

y_i + up_i (down_i x_i), for linear layers and convolutions. The plain reference stands beside; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from laterna.lora.adapter import Factors
from laterna.lora.layers import Layer
from laterna.lora.segments import Segments, Span


@dataclass(frozen=True, kw_only=True)
class Group:
    """The factors of one layer for the segments of one span that have any, padded with zeros to one rank."""

    span: Span
    rows: slice  # those segments, counted from the span's first, where they are one run of neighbours; else all
    at: torch.Tensor | None  # the same on the device where they are not; absent where they are
    down: torch.Tensor  # [rows, rank, in] or [rows, rank, in, h, w]
    up: torch.Tensor  # [rows, out, rank]


def groups(factors: Mapping[int, Factors], segments: Segments) -> tuple[Group, ...]:
    """What a layer needs whose input lies in `segments`, the sample with the number i having `factors[i]`."""
    return tuple(_groups(factors, segments))


def _groups(factors: Mapping[int, Factors], segments: Segments) -> Iterator[Group]:
    for span in segments.spans:
        owners = segments.owners[span.segments]
        rows = [row for row, owner in enumerate(owners) if owner in factors]
        if rows and span.length:
            yield _stack(span, rows, [factors[owners[row]] for row in rows])


def _stack(span: Span, rows: Sequence[int], factors: Sequence[Factors]) -> Group:
    rank = max(found.rank for found in factors)
    is_run = rows[-1] - rows[0] == len(rows) - 1
    return Group(
        span=span,
        rows=slice(rows[0], rows[-1] + 1) if is_run else slice(None),
        at=None if is_run else torch.tensor(list(rows), device=factors[0].down.device),
        down=torch.stack([_padded(found.down, rank) for found in factors]),
        up=torch.stack([functional.pad(found.up, (0, rank - found.rank)) for found in factors]),
    )


def _padded(down: torch.Tensor, rank: int) -> torch.Tensor:
    return functional.pad(down, (0, 0) * (down.ndim - 1) + (0, rank - len(down)))


def adapt(layer: Layer, y: torch.Tensor, x: torch.Tensor, changes: Sequence[Group]) -> torch.Tensor:
    """What the layer answers with the adapters: y, its answer to x, changed where the groups say.

    x and y are [positions, ..., in] and [positions, ..., out] of a linear layer, [rows, in, h, w] and
    [rows, out, h', w'] of a convolution. y may be overwritten; what has no adapters keeps every bit.
    """
    product = _linear if isinstance(layer, nn.Linear) else _convolved  # which leaves y's order in memory as it is
    for group in changes:
        into, given = _rows(y, group.span), _rows(x, group.span)
        if group.at is None:
            product(layer, into[group.rows], given[group.rows], group)
        else:
            part = into[group.at]
            product(layer, part, given[group.at], group)
            into[group.at] = part
    return y


def _rows(packed: torch.Tensor, span: Span) -> torch.Tensor:
    """[positions, ...] -> the span's [segments, length, ...], or [rows, ...] as they are."""
    rows = packed[span.positions]
    return rows if span.length == 1 else torch.unflatten(rows, 0, (-1, span.length))


def _linear(layer: Layer, y: torch.Tensor, x: torch.Tensor, group: Group) -> None:
    rows = len(group.down)
    hidden = torch.bmm(x.reshape(rows, -1, x.shape[-1]), group.down.transpose(1, 2))
    y.view(rows, -1, y.shape[-1]).baddbmm_(hidden, group.up.transpose(1, 2))


def _convolved(layer: Layer, y: torch.Tensor, x: torch.Tensor, group: Group) -> None:
    """All rows' own kernels in one convolution with a channel group for each row."""
    assert isinstance(layer, nn.Conv2d)
    rows, rank = group.down.shape[:2]
    hidden = functional.conv2d(
        x.reshape(1, -1, *x.shape[2:]),
        group.down.flatten(0, 1),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=rows,
    )
    y += torch.bmm(group.up, hidden.reshape(rows, rank, -1)).view(y.shape)


def reference(
    layer: Layer, y: torch.Tensor, x: torch.Tensor, factors: Mapping[int, Factors], segments: Segments
) -> torch.Tensor:
    """What `adapt` computes, segment by segment and out of place."""
    changed, at = [], 0
    for length, owner in zip(segments.lengths, segments.owners, strict=True):
        run, at = slice(at, at + length), at + length
        changed.append(y[run] + _delta(layer, x[run], factors[owner]) if owner in factors else y[run])
    return torch.cat(changed)


def _delta(layer: Layer, x: torch.Tensor, factors: Factors) -> torch.Tensor:
    if isinstance(layer, nn.Linear):
        return functional.linear(functional.linear(x, factors.down), factors.up)
    hidden = functional.conv2d(x, factors.down, None, layer.stride, layer.padding, layer.dilation)
    return functional.conv2d(hidden, factors.up[:, :, None, None])
