"""What came of it: latencies by class, deadlines, how busy the devices were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from laterna.simulation.device import Completion
from laterna.simulation.trace import CLASSES

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """Requests of one priority class. Seconds from arrival to the answer."""

    count: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    deadlines: int  # requests that had one
    missed: int  # of them
    latencies_s: tuple[float, ...]  # sorted


@dataclass(frozen=True, kw_only=True)
class Result:
    """One simulated, or real, run of a trace."""

    name: str  # of the policy
    classes: Mapping[str, ClassResult]  # by class, and of all
    seconds: float  # from the first arrival to the last answer
    busy: Mapping[str, float]  # device -> its share of that time in calls; empty where that is not known
    device_s: float  # of calls, of all devices

    @property
    def rate(self) -> float:
        """Requests done a second."""
        return self.classes[ALL].count / self.seconds if self.seconds else 0.0


def result(name: str, done: Sequence[Completion], busy_s: Mapping[str, float]) -> Result:
    """Of at least one completion."""
    seconds = max(one.ended_s for one in done) - min(one.arrival.at_s for one in done)
    groups = {label: [one for one in done if one.arrival.priority == n] for n, label in enumerate(CLASSES)}
    kept = {label: _class(some) for label, some in groups.items() if some}
    return Result(
        name=name,
        classes={**kept, ALL: _class(done)},
        seconds=seconds,
        busy={device: spent / seconds if seconds else 0.0 for device, spent in busy_s.items()},
        device_s=sum(one.device_s for one in done),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values: linear between the two next ranks."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _class(done: Sequence[Completion]) -> ClassResult:
    latencies = sorted(one.latency_s for one in done)
    limits = [(one.latency_s, one.arrival.finish_within_s) for one in done]
    deadlines = [(took, limit) for took, limit in limits if limit is not None]
    return ClassResult(
        count=len(done),
        mean_s=sum(latencies) / len(latencies),
        p50_s=quantile(latencies, 0.5),
        p95_s=quantile(latencies, 0.95),
        p99_s=quantile(latencies, 0.99),
        deadlines=len(deadlines),
        missed=sum(took > limit for took, limit in deadlines),
        latencies_s=tuple(latencies),
    )
