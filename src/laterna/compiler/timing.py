"""How long calls take against each other: in turns, the least of each, with the device waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

ROUNDS = 3


def seconds(calls: Mapping[str, Callable[[], torch.Tensor]]) -> dict[str, float]:
    """Seconds of each call by its name, after one that does not count."""
    for call in calls.values():
        _wait(call())
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begun = time.perf_counter()
            _wait(call())
            best[name] = min(best[name], time.perf_counter() - begun)
    return best


def _wait(made: torch.Tensor) -> None:
    if made.device.type == "cuda":
        torch.cuda.synchronize(made.device)
