"""Who asks for what, when: an open loop of Poisson arrivals, the same for every server that is compared."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    steps: int
    share: float  # of the requests
    interactive: bool  # whether somebody waits for the picture


Mix = Sequence[Kind]

MIX: Mix = (
    Kind(steps=4, share=0.25, interactive=True),
    Kind(steps=20, share=0.25, interactive=True),
    Kind(steps=28, share=0.30, interactive=False),
    Kind(steps=50, share=0.20, interactive=False),
)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    at_s: float  # seconds after the trace begins
    steps: int
    interactive: bool
    seed: int  # of the picture


def poisson(mix: Mix, rate: float, count: int, seed: int) -> list[Arrival]:
    """`count` arrivals of the mix at `rate` a second. Traces of one seed differ only in their pace.

    The kinds come in shuffled decks of twenty, so that a short trace has the mix's shares too.
    """
    dice = random.Random(seed)
    clock, arrivals = 0.0, []
    deck: list[Kind] = []
    for number in range(count):
        if not deck:
            deck = [kind for kind in mix for _ in range(round(20 * kind.share))]
            dice.shuffle(deck)
        kind = deck.pop()
        clock += dice.expovariate(1.0) / rate
        arrivals.append(Arrival(at_s=clock, steps=kind.steps, interactive=kind.interactive, seed=number))
    return arrivals


def mean_seconds(mix: Mix, seconds_by_steps: Mapping[int, float]) -> float:
    """Of a request of the mix, where each number of steps takes so long."""
    return sum(kind.share * seconds_by_steps[kind.steps] for kind in mix)
