"""Time as a parameter: the only module that reads a clock. Stored: UTC microseconds; device time: nanoseconds."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_us(self) -> int:
        """Wall time, UTC microseconds since 1970: for what is stored and shown."""
        ...

    def monotonic_ns(self) -> int:
        """Monotonic nanoseconds: for durations."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is told to advance; for tests and simulations."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us
        self._monotonic_ns = 0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        self._now_us += round(seconds * 1e6)
        self._monotonic_ns += round(seconds * 1e9)
