"""When a request will be done: what the policy puts ahead of it, how fast that goes, and how sure that is.

What is ahead is not played through but counted, as a fluid: higher classes whole, its own tenant's shorter and equal
older requests, of other tenants as much as their shares let pass. How fast it goes is learned from what was done in
the time that there was anything to do; how sure it is, from earlier predictions of the kind (`Residuals`). Reads no
clock and no store.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from laterna.scheduler.calibration import LATEST, Residuals
from laterna.scheduler.ranking import size_class

HALF_LIFE_SECONDS = 60.0  # of busy time, in which what was seen of the pace loses half its weight
PRIOR_SECONDS = 5.0  # of busy time, for which the pace is taken to be one before anything was seen
MOST_TOLD = 4  # predictions of one request that are checked against its end
MOST_KEPT = 10_000  # requests of which predictions are kept
SHARE = 0.9  # of intervals that are to hold


Kind = tuple[str | int, ...]  # of predictions that are off alike


@dataclass(frozen=True, kw_only=True)
class Eta:
    """When something ends, in seconds from now."""

    seconds: float
    low_s: float  # in nine of ten cases it is so late, or later, ...
    high_s: float  # ... and so early, or earlier


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests alike, waiting or running."""

    tenant: str
    priority: int  # 0 realtime, 1 normal, 2 low
    left_s: float  # predicted device seconds of one, run alone
    first_us: int  # when the first of them was submitted
    last_us: int  # and the last
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a tenant stands to others."""

    weight: float = 1.0
    virtual_s: float = 0.0


class Backlog:
    """All that waits or runs at one moment."""

    def __init__(self, loads: Iterable[Load] = (), standings: Mapping[str, Standing] | None = None) -> None:
        self._standings = standings or {}
        self._least_s = min((one.virtual_s for one in self._standings.values()), default=0.0)
        self._flows: dict[tuple[int, str], list[Load]] = defaultdict(list)
        self._seconds: dict[tuple[int, str], float] = defaultdict(float)
        for load in loads:
            self._flows[load.priority, load.tenant].append(load)
            self._seconds[load.priority, load.tenant] += load.count * load.left_s

    def ahead_s(self, mine: Load) -> float:
        """Device seconds of others that are run before it is done. What it has of its own here does not count."""
        own = sum(_before(load, mine) for load in self._flows.get((mine.priority, mine.tenant), ()))
        me = self._standing(mine.tenant)
        until = me.virtual_s + (own + mine.left_s / 2) / me.weight
        ahead = own
        for (priority, tenant), seconds in self._seconds.items():
            if priority < mine.priority:
                ahead += seconds
            elif priority == mine.priority and tenant != mine.tenant:
                other = self._standing(tenant)
                ahead += min(seconds, max(0.0, other.weight * (until - other.virtual_s)))
        return ahead

    def _standing(self, tenant: str) -> Standing:
        """A tenant that is not present begins with the least of those that are."""
        return self._standings.get(tenant) or Standing(virtual_s=self._least_s)


class Pace:
    """How many seconds of work, as counted alone, workers do in a second: with batches more than one each."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}  # worker -> work done, busy time; both in fading seconds

    def saw(self, worker: str, done_s: float, busy_s: float) -> None:
        """So much work was done in so much time in which there was some."""
        done, busy = self._seen.get(worker, (PRIOR_SECONDS, PRIOR_SECONDS))
        fade = 0.5 ** (busy_s / HALF_LIFE_SECONDS)
        self._seen[worker] = (done * fade + done_s, busy * fade + busy_s)

    def of(self, workers: Iterable[str]) -> float:
        """Of these workers together, at least a tenth for each."""
        seen = [self._seen.get(worker, (1.0, 1.0)) for worker in workers]
        return sum(max(0.1, done / busy) for done, busy in seen)


class Off(msgspec.Struct, frozen=True, kw_only=True):
    """How far predictions of one kind were off, as it is kept in a file."""

    kind: Kind
    ratios: list[Annotated[float, msgspec.Meta(gt=0)]]  # actual by predicted, oldest first


class Calibration:
    """Predictions that were told, checked against what came; by kind, and where little is known of one, a wider one."""

    def __init__(self) -> None:
        self._told: dict[Hashable, list[tuple[float, float, Sequence[Kind]]]] = {}
        self._residuals: dict[Kind, Residuals] = defaultdict(Residuals)

    def eta(self, predicted_s: float, kinds: Sequence[Kind], share: float = SHARE) -> Eta:
        """What a prediction means. `kinds`: what it is one of, the narrowest first."""
        known = next(
            (self._residuals[k] for k in kinds if k in self._residuals and self._residuals[k].enough), Residuals()
        )
        low, high = known.interval(share)
        return Eta(seconds=predicted_s * known.middle(), low_s=predicted_s * low, high_s=predicted_s * high)

    def told(self, id: Hashable, predicted_s: float, kinds: Sequence[Kind], now_s: float) -> None:
        """Remember a prediction of a request's end; the first few of each."""
        told = self._told.setdefault(id, [])
        if len(told) < MOST_TOLD and (not told or now_s - told[-1][0] >= told[-1][1] / MOST_TOLD):
            told.append((now_s, predicted_s, kinds))
        while len(self._told) > MOST_KEPT:
            del self._told[next(iter(self._told))]

    def ended(self, id: Hashable, now_s: float) -> None:
        """It ended well: so far were the predictions off."""
        for told_s, predicted_s, kinds in self._told.pop(id, ()):
            for kind in kinds:
                self._residuals[kind].learn(predicted_s, now_s - told_s)

    def forget(self, id: Hashable) -> None:
        """It ended otherwise: that says nothing."""
        self._told.pop(id, None)

    def save(self, path: Path) -> None:
        """Write atomically how far predictions were off; a crash leaves the earlier file."""
        rows = [
            Off(kind=kind, ratios=[float(f"{ratio:.4g}") for ratio in known.latest()])
            for kind, known in self._residuals.items()
        ]
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(rows))
        os.replace(new, path)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what was saved; an absent or unreadable file is one that knows nothing, since it can be learned anew."""
        made = cls()
        try:
            rows = msgspec.json.decode(path.read_bytes(), type=list[Off])
        except (OSError, msgspec.DecodeError):
            return made
        for row in rows:
            made._residuals[row.kind] = Residuals(row.ratios[-LATEST:])
        return made


def kinds_of(phase: str, priority: int, left_s: float) -> tuple[Kind, ...]:
    """Of a prediction: by phase (waiting or running), class and size; then by fewer of them."""
    return ((phase, priority, size_class(left_s) // 4), (phase, priority), (phase,))


def _before(load: Load, mine: Load) -> float:
    """Seconds of a load of the same flow that come before it."""
    size, my_size = size_class(load.left_s), size_class(mine.left_s)
    if size != my_size:
        return load.count * load.left_s if size < my_size else 0.0
    if load.last_us < mine.first_us:
        return load.count * load.left_s
    span = load.last_us - load.first_us
    earlier = min(1.0, max(0.0, (mine.first_us - load.first_us) / span)) if span else 0.0
    return earlier * load.count * load.left_s
