"""Linear layers whose answer for a position does not depend on how many positions there are.

Matrix products of a few rows take other ways than those of many, and differ in the last bits: below 4 rows a thread in
the library that torch brings. Which numbers of rows do is measured once a process, and such inputs are padded.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 256  # of the layer on which rows are measured
ROWS_A_THREAD = 16  # so many rows a thread are tried


def steady_linears(network: nn.Module) -> None:
    """Pad what linear layers in float32 on a CPU are given where it is too short."""
    for module in network.modules():
        if type(module) is nn.Linear and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32:
            cast("Any", module).forward = Steady(module)


class Steady:
    """What a linear layer computes, [..., in] -> [..., out]."""

    def __init__(self, module: nn.Linear) -> None:
        self._module = module
        self._enough = enough_rows(torch.get_num_threads())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._module.weight, self._module.bias
        rows = x.numel() // x.shape[-1]
        if rows >= self._enough or not rows:
            return F.linear(x, weight, bias)
        padded = F.pad(x.reshape(rows, -1), (0, 0, 0, self._enough - rows))
        return F.linear(padded, weight, bias)[:rows].view(*x.shape[:-1], -1)


@cache
@torch.no_grad()
def enough_rows(threads: int) -> int:
    """From so many rows on, a row's product is the same bit by bit, with so many threads.

    Where it depends on the rows even at the largest number tried, that number: then the last bits are not promised.
    """
    generator = torch.Generator().manual_seed(0)
    most = ROWS_A_THREAD * threads
    x, weight = (torch.randn(size, WIDTH, generator=generator) for size in (4 * most, WIDTH))
    bias = torch.randn(WIDTH, generator=generator)
    whole = F.linear(x, weight, bias)
    odd = [rows for rows in range(1, most) if not torch.equal(F.linear(x[:rows].clone(), weight, bias), whole[:rows])]
    return 1 + max(odd, default=0)
