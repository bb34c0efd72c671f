"""Devices behind one queue, on simulated clocks: dispatch's windows and placement above, the engine's policy below.

Not simulated are faults, cancels, loading models and previews; requests whose deadline passes are run all the same.
Neighbours: `device`, which runs what it is given, and dispatch's `placement`, which chooses where.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from laterna.clock import ManualClock
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import VERSION, Lease, Ready
from laterna.dispatch.placement import Demand, place
from laterna.dispatch.windows import WINDOW, Holding, Window
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Candidate, Policy, Shares
from laterna.simulation.device import Arrival, Completion, Device, Scheduling


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """What passes outside the devices, by request."""

    before_s: float = 0.0  # from its arrival until a device may begin with it
    after_s: Sequence[float] = (0.0,)  # from its last call to the answer, as it was seen to be


NONE = Overheads()


class Fleet:
    """One queue and its devices."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        overheads: Overheads = NONE,
        scheduling: Scheduling = Policy,
        seed: int = 0,
    ) -> None:
        self.devices = devices
        self._overheads = overheads
        self._draw = random.Random(seed)
        self._clock = ManualClock()
        self._zero_us = self._clock.now_us()
        self._costs = next(iter(devices.values())).costs  # what dispatch goes by
        self._queue = scheduling(self._clock, self._costs, Shares())
        self._waiting: dict[str, Arrival] = {}
        self._windows = {name: Window(worker=name, device=_ready(name), ready=True) for name in devices}
        self._events: list[tuple[float, int, Callable[[], Completion | None]]] = []
        self._serial = 0

    def run(self, arrivals: Sequence[Arrival]) -> Iterator[Completion]:
        """All arrivals to the end; completions in the order in which they are answered."""
        for window in self._windows.values():
            window.resident = frozenset(_ref(arrival.model).name for arrival in arrivals)
        for arrival in arrivals:
            self._at(arrival.at_s + self._overheads.before_s, partial(self._come, arrival))
        while True:
            name = min(self._working(), key=lambda name: self.devices[name].now_s, default=None)
            due_s = self._events[0][0] if self._events else float("inf")
            if name is not None and self.devices[name].now_s < due_s:
                self._step(name)
            elif self._events:
                done = self._next()
                if done is not None:
                    yield done
            else:
                return

    def _working(self) -> list[str]:
        return [name for name, device in self.devices.items() if device.running]

    def _next(self) -> Completion | None:
        due_s, _, event = heapq.heappop(self._events)
        self._clock.advance(due_s - self._now_s)
        done = event()
        if not self._events or self._events[0][0] > due_s:
            self._lease()
        return done

    def _at(self, due_s: float, event: Callable[[], Completion | None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (due_s, self._serial, event))

    def _come(self, arrival: Arrival) -> None:
        self._waiting[arrival.id] = arrival
        self._queue.weigh(arrival.tenant, arrival.weight)
        self._queue.put(self._candidate(arrival))

    def _step(self, name: str) -> None:
        for done in self.devices[name].step() or ():
            after_s = self._draw.choice(self._overheads.after_s)
            answered = replace(done, ended_s=done.ended_s + after_s)
            self._at(answered.ended_s, partial(self._answer, name, answered))

    def _answer(self, name: str, done: Completion) -> Completion:
        del self._windows[name].held[done.arrival.id]
        return done

    def _lease(self) -> None:
        """What dispatch does when something has changed."""
        if not self._waiting:
            return
        for name, device in self.devices.items():
            left = device.left_s()
            for id, held in self._windows[name].held.items():
                held.left_s = left.get(id, 0.0)
                held.touched = id not in left or device.began(id)
        foremost = islice(self._queue.order(), WINDOW * len(self.devices))
        placement = place([self._demand(str(one.id)) for one in foremost], list(self._windows.values()))
        for name, held in placement.revoked:
            del self._windows[name].held[held.lease.request_id]
            self._come(self.devices[name].withdraw(held.lease.request_id))
        for name, ids in placement.given.items():
            for id in ids:
                self._give(name, self._waiting.pop(id))

    def _give(self, name: str, arrival: Arrival) -> None:
        device = self.devices[name]
        if not device.running:
            device.rest_until(self._now_s)
        seconds = _seconds(device.costs, arrival)
        self._queue.charge(arrival.tenant, seconds)
        self._queue.drop(arrival.id)
        device.submit(arrival)
        self._windows[name].held[arrival.id] = Holding(
            lease=Lease(request_id=arrival.id, token=arrival.id),
            tenant=arrival.tenant,
            priority=arrival.priority,
            model=_ref(arrival.model).name,
            created_us=self._created_us(arrival),
            left_s=seconds,
        )

    def _demand(self, id: str) -> Demand:
        arrival = self._waiting[id]
        return Demand(
            id=id,
            tenant=arrival.tenant,
            priority=arrival.priority,
            model=_ref(arrival.model),
            seconds=lambda name: _seconds(self.devices[name].costs, arrival),
        )

    def _candidate(self, arrival: Arrival) -> Candidate:
        created_us, limit = self._created_us(arrival), arrival.finish_within_s
        return Candidate(
            id=arrival.id,
            model=arrival.model,
            stage="encode",
            group=None,
            tokens=arrival.tokens,
            steps_left=arrival.steps,
            samples=arrival.samples,
            tenant=arrival.tenant,
            priority=arrival.priority,
            created_us=created_us,
            finish_by_us=None if limit is None else created_us + round(limit * 1e6),
        )

    def _created_us(self, arrival: Arrival) -> int:
        return self._zero_us + round(arrival.at_s * 1e6)

    @property
    def _now_s(self) -> float:
        return (self._clock.now_us() - self._zero_us) / 1e6


def _ready(name: str) -> Ready:
    return Ready(version=VERSION, pid=0, device=name, device_name=name, memory_bytes=0)


def _ref(model: str) -> ModelRef:
    return ModelRef(id=model, revision="", family="", weights="", resident_bytes=0)


def _seconds(costs: CostModel, arrival: Arrival) -> float:
    return costs.request_seconds(arrival.model, arrival.tokens, arrival.steps, arrival.samples)
