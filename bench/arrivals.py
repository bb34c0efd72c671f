"""Who asks for what, when: an open loop of Poisson arrivals, the same for every server that is compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# Steps, share of the requests, and whether somebody waits for the picture.
MIX: tuple[tuple[int, float, bool], ...] = (
    (4, 0.25, True),
    (20, 0.25, True),
    (28, 0.30, False),
    (50, 0.20, False),
)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    at_s: float  # seconds after the trace begins
    steps: int
    interactive: bool
    seed: int  # of the picture


def poisson(rate: float, count: int, seed: int) -> list[Arrival]:
    """`count` arrivals of MIX at `rate` a second. Traces of one seed differ only in their pace.

    The kinds come in shuffled decks of twenty, so that a short trace has the mix's shares too.
    """
    dice = random.Random(seed)
    clock, arrivals = 0.0, []
    deck: list[tuple[int, bool]] = []
    for number in range(count):
        if not deck:
            deck = [(steps, interactive) for steps, share, interactive in MIX for _ in range(round(20 * share))]
            dice.shuffle(deck)
        steps, interactive = deck.pop()
        clock += dice.expovariate(1.0) / rate
        arrivals.append(Arrival(at_s=clock, steps=steps, interactive=interactive, seed=number))
    return arrivals


def mean_seconds(seconds_by_steps: dict[int, float]) -> float:
    """Of a request of MIX, where each number of steps takes so long."""
    return sum(share * seconds_by_steps[steps] for steps, share, _ in MIX)


def work(arrivals: Sequence[Arrival], seconds_by_steps: dict[int, float]) -> float:
    """Seconds that the requests take one at a time."""
    return sum(seconds_by_steps[arrival.steps] for arrival in arrivals)
