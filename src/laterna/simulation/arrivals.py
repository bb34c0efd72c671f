"""Made-up traces: Poisson or in bursts, of a mixture of steps and classes, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from laterna.errors import ConfigError
from laterna.simulation.trace import CLASSES, Asked


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of a mixture."""

    steps: int
    share: float  # of the requests, against the other parts'
    priority: str = "normal"  # of `trace.CLASSES`


@dataclass(frozen=True, kw_only=True)
class Bursts:
    """On and off, each for an exponentially distributed time."""

    rate: float  # requests a second while it is on
    on_s: float  # mean
    off_s: float  # mean


def parse_mix(text: str) -> list[Part]:
    """`STEPS:SHARE[:CLASS],...`. Raises ConfigError naming the part that is wrong."""
    return [_part(part.strip()) for part in text.split(",") if part.strip()]


def _part(text: str) -> Part:
    words = text.split(":")
    try:
        steps, share = int(words[0]), float(words[1])
        priority = words[2] if len(words) > 2 else "normal"
        if len(words) <= 3 and steps >= 1 and share > 0 and priority in CLASSES:
            return Part(steps=steps, share=share, priority=priority)
    except (ValueError, IndexError):
        pass
    raise ConfigError(f"--mix: {text!r}: expected STEPS:SHARE or STEPS:SHARE:CLASS, such as 20:0.5:normal")


def parse_bursts(text: str) -> Bursts:
    """`RATE:ON:OFF`. Raises ConfigError."""
    try:
        rate, on_s, off_s = (float(word) for word in text.split(":"))
        if min(rate, on_s) > 0 and off_s >= 0:
            return Bursts(rate=rate, on_s=on_s, off_s=off_s)
    except ValueError:
        pass
    raise ConfigError(f"--bursty: {text!r}: expected RATE:ON:OFF, requests a second and mean seconds, such as 4:10:50")


def poisson(like: Asked, mix: Sequence[Part], rate: float, count: int, seed: int) -> list[Asked]:
    """`count` requests at `rate` a second on average."""
    draw = random.Random(seed)
    return _filled(like, mix, _poisson_times(rate, draw), count, draw)


def bursty(like: Asked, mix: Sequence[Part], bursts: Bursts, count: int, seed: int) -> list[Asked]:
    """`count` requests that come in bursts: an interrupted Poisson process."""
    draw = random.Random(seed)
    return _filled(like, mix, _bursty_times(bursts, draw), count, draw)


def _poisson_times(rate: float, draw: random.Random) -> Iterator[float]:
    now = 0.0
    while True:
        now += draw.expovariate(rate)
        yield now


def _bursty_times(bursts: Bursts, draw: random.Random) -> Iterator[float]:
    begun = 0.0
    while True:
        ended = begun + draw.expovariate(1 / bursts.on_s)
        now = begun + draw.expovariate(bursts.rate)
        while now < ended:
            yield now
            now += draw.expovariate(bursts.rate)
        begun = ended + (draw.expovariate(1 / bursts.off_s) if bursts.off_s else 0.0)


def _filled(like: Asked, mix: Sequence[Part], times: Iterator[float], count: int, draw: random.Random) -> list[Asked]:
    """The parts come in their shares, at random."""
    shares = [part.share for part in mix]
    parts = (
        draw.choices(mix, shares, k=count) if mix else [Part(steps=like.steps, share=1, priority=like.priority)] * count
    )
    return [replace(like, time_s=next(times), steps=part.steps, priority=part.priority) for part in parts]
