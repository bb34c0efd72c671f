"""A device on a simulated clock, driven by the very policy that drives the real ones.

Arrivals go in, completions come out; how long a call lasts, and what passes between two of them, is for the caller to
say, from a measured or a published curve. Reads no clock and no file; its neighbours are `curves`, which knows what
calls cost, and `fleet`, which puts several devices behind one queue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from laterna.clock import Clock, ManualClock
from laterna.contracts.messages import Observation
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Candidate, Policy, Shares, StepPlan

CallSeconds = Callable[[StepPlan], float]  # what a planned call would take
Scheduling = Callable[[Clock, CostModel, Shares], Policy]  # who decides


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One request that comes."""

    id: str
    at_s: float  # seconds since the beginning
    model: str
    tokens: int  # per sample
    steps: int
    samples: int = 1
    tenant: str = "default"
    weight: float = 1.0
    priority: int = 1
    finish_within_s: float | None = None  # deadline, from its arrival; absent: none


@dataclass(frozen=True, kw_only=True)
class Completion:
    """And how it went."""

    arrival: Arrival
    began_s: float  # its first call, since the beginning
    ended_s: float  # its last call's end
    device_s: float  # its share of the calls that it was in

    @property
    def latency_s(self) -> float:
        return self.ended_s - self.arrival.at_s


class Device:
    """One device with its policy. The costs are learned from the simulated calls, as they are from real ones."""

    def __init__(
        self,
        call_seconds: CallSeconds,
        costs: CostModel | None = None,
        clock: ManualClock | None = None,
        *,
        between_seconds: CallSeconds = lambda plan: 0.0,
        scheduling: Scheduling = Policy,
    ) -> None:
        """`costs`: known from the beginning; `between_seconds`: pass before a call that follows another at once."""
        self.clock = clock or ManualClock()
        self.costs = costs or CostModel()
        self.policy = scheduling(self.clock, self.costs, Shares())
        self.busy_s = 0.0  # in calls
        self._between = between_seconds
        self._followed = False  # whether a call has just ended
        self._seconds = call_seconds
        self._zero_us = self.clock.now_us()
        self.running: dict[str, Arrival] = {}  # and waiting, by id
        self._samples: dict[str, Candidate] = {}
        self._left: dict[str, int] = {}  # samples of each request
        self._began_s: dict[str, float] = {}
        self._used_s: dict[str, float] = {}

    @property
    def now_s(self) -> float:
        return (self.clock.now_us() - self._zero_us) / 1e6

    def began(self, id: str) -> bool:
        """Whether the request had a call."""
        return id in self._began_s

    def left_s(self) -> dict[str, float]:
        """Predicted device seconds of each request that waits or runs."""
        left = dict.fromkeys(self.running, 0.0)
        for name, sample in self._samples.items():
            left[name.rpartition("/")[0]] += self.policy.seconds_left(sample)
        return left

    def rest_until(self, now_s: float) -> None:
        """Nothing is to be done before that moment."""
        if self.now_s < now_s:
            self.clock.advance(now_s - self.now_s)
            self._followed = False

    def withdraw(self, id: str) -> Arrival:
        """Take out a request that has not begun."""
        assert not self.began(id)
        for index in range(self._left.pop(id)):
            del self._samples[f"{id}/{index}"]
            self.policy.drop(f"{id}/{index}")
        del self._used_s[id]
        return self.running.pop(id)

    def submit(self, arrival: Arrival) -> None:
        """It comes now; its latency counts from when it was to come."""
        created_us = self._zero_us + round(arrival.at_s * 1e6)
        deadline = arrival.finish_within_s
        self.running[arrival.id] = arrival
        self._left[arrival.id] = arrival.samples
        self._used_s[arrival.id] = 0.0
        self.policy.weigh(arrival.tenant, arrival.weight)
        for index in range(arrival.samples):
            name = f"{arrival.id}/{index}"
            self._samples[name] = Candidate(
                id=name,
                request=arrival.id,
                model=arrival.model,
                stage="encode",
                group=None,
                tokens=arrival.tokens,
                steps_left=arrival.steps,
                steps=arrival.steps,
                tenant=arrival.tenant,
                priority=arrival.priority,
                created_us=created_us,
                finish_by_us=None if deadline is None else created_us + round(deadline * 1e6),
            )
            self.policy.put(self._samples[name])

    def step(self) -> list[Completion] | None:
        """One call; who is done with it. None when there is nothing to run."""
        plan = self.policy.plan()
        if plan is None:
            return None
        if self._followed:
            self.clock.advance(self._between(plan))
        began_s, seconds = self.now_s, self._seconds(plan)
        self.clock.advance(seconds)
        self.busy_s, self._followed = self.busy_s + seconds, True
        self.costs.learn(
            Observation(
                model=plan.model,
                stage=plan.stage,
                tokens=plan.tokens,
                batch=len(plan.members),
                device_ns=round(seconds * 1e9),
            )
        )
        done = [self._advance(str(member), began_s, seconds / len(plan.members)) for member in plan.members]
        return [one for one in done if one is not None]

    def run(self, arrivals: Iterable[Arrival]) -> Iterator[Completion]:
        """All arrivals, in the order of their times, to the end."""
        for arrival in arrivals:
            while self.now_s < arrival.at_s:
                done = self.step()
                if done is None:
                    self.rest_until(arrival.at_s + 1e-6)
                else:
                    yield from done
            self.submit(arrival)
        while (done := self.step()) is not None:
            yield from done

    def _advance(self, name: str, began_s: float, share_s: float) -> Completion | None:
        """A call with this sample is over; its request's completion, if that was the last of it."""
        sample, request = self._samples.pop(name), name.rpartition("/")[0]
        self._began_s.setdefault(request, began_s)
        self._used_s[request] += share_s
        self.policy.charge(sample.tenant, share_s)
        following = _following(sample)
        if following is not None:
            self._samples[name] = following
            self.policy.put(following)
            return None
        self.policy.drop(name)
        self._left[request] -= 1
        if self._left[request]:
            return None
        del self._left[request]
        return Completion(
            arrival=self.running.pop(request),
            began_s=self._began_s.pop(request),
            ended_s=self.now_s,
            device_s=self._used_s.pop(request),
        )


def _following(sample: Candidate) -> Candidate | None:
    if sample.stage == "decode":
        return None
    left = sample.steps_left - (sample.stage == "denoise")
    group = ("denoise" if left else "decode", sample.tokens)
    return dataclasses.replace(sample, stage=group[0], steps_left=left, group=group)
