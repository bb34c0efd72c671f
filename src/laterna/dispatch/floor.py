"""The floor: what devices do now, for whoever looks at them, and what a request would take if it came.

Stands between the fleet and dispatch and hands on whatever workers say; from their beats it keeps how busy each device
was, and counts their calls for `laterna.metrics`. Decides nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from laterna import metrics
from laterna.clock import Clock
from laterna.contracts.generation import Generation
from laterna.contracts.messages import Beat, Call, FromWorker, Observation, Progress
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Eta, Etas
from laterna.dispatch.windows import Holding, Window
from laterna.fleet.local import Hearer

KEPT = 120  # beats of a worker, about one a second


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """What one beat of a worker told of the time since the last."""

    time_us: int
    busy_s: float  # seconds of device calls
    calls: int
    samples: int  # in those calls together
    missed_s: float  # by how much their predictions were off, above or below, together


@dataclass(frozen=True, kw_only=True)
class Work:
    """One request in a worker's hands."""

    held: Holding
    progress: Progress | None  # the latest; absent before the first


@dataclass(frozen=True, kw_only=True)
class Device:
    """One worker's device at this moment."""

    window: Window
    call: Call | None  # under way at the last beat; absent while the device rests
    pulses: tuple[Pulse, ...]  # oldest first
    work: tuple[Work, ...]  # in the order of submission


@dataclass(kw_only=True)
class _Heard:
    call: Call | None = None
    pulses: deque[Pulse] = field(default_factory=lambda: deque(maxlen=KEPT))


class Floor:
    """One for a server; used from its event loop alone."""

    def __init__(
        self,
        hearer: Hearer,
        windows: Callable[[], Mapping[str, Window]],
        estimates: Estimates,
        etas: Etas,
        clock: Clock,
    ) -> None:
        """`hearer` is told what workers say; `windows` are what each of them holds."""
        self._hearer = hearer
        self._windows = windows
        self._estimates = estimates
        self._etas = etas
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    async def heard(self, worker: str, message: FromWorker) -> None:
        """A worker says something."""
        if isinstance(message, Beat):
            heard = self._heard.setdefault(worker, _Heard())
            heard.call = message.call
            missed_s = sum(self._missed_s(worker, seen) for seen in message.observed)
            heard.pulses.append(_pulse(message, missed_s, self._clock.now_us()))
            for seen in message.observed:
                _count(worker, seen)
        await self._hearer.heard(worker, message)

    async def lost(self, worker: str) -> None:
        """A worker died."""
        self._heard.pop(worker, None)
        metrics.DEATHS.labels(worker).inc()
        await self._hearer.lost(worker)

    def devices(self) -> list[Device]:
        """All of them, those without a process included."""
        return [self._device(window) for window in self._windows().values()]

    def alone_s(self, model: str, job: Generation) -> float | None:
        """Predicted seconds of device time of a request; None for a model that never ran here."""
        return self._estimates.typical(model, job)

    def would_take(self, tenant: str, card_id: str, job: Generation) -> Eta | None:
        """When a request of normal priority would be done if it came now; None for a model that never ran here."""
        return self._etas.would_take(tenant, card_id, job)

    def _missed_s(self, worker: str, seen: Observation) -> float:
        """How far the cost model is off, as it stands before it learns of the call; nothing for a model new to it."""
        predicted_s = self._estimates.call_seconds(worker, seen)
        return 0.0 if predicted_s is None else abs(predicted_s - seen.device_ns / 1e9)

    def _device(self, window: Window) -> Device:
        heard = self._heard.get(window.worker, _Heard())
        return Device(
            window=window, call=heard.call, pulses=tuple(heard.pulses), work=tuple(self._work(window.held.values()))
        )

    def _work(self, held: Iterable[Holding]) -> list[Work]:
        return [
            Work(held=one, progress=self._estimates.progress(one.lease.request_id))
            for one in sorted(held, key=lambda one: one.created_us)
        ]


def _pulse(beat: Beat, missed_s: float, now_us: int) -> Pulse:
    return Pulse(
        time_us=now_us,
        busy_s=sum(seen.device_ns for seen in beat.observed) / 1e9,
        calls=len(beat.observed),
        samples=sum(seen.batch for seen in beat.observed),
        missed_s=missed_s,
    )


def _count(worker: str, seen: Observation) -> None:
    seconds, model = seen.device_ns / 1e9, seen.model.partition("@")[0]
    metrics.CALLS.labels(worker, model, seen.stage).observe(seconds)
    metrics.BATCH.labels(model, seen.stage).observe(seen.batch)
    metrics.BUSY.labels(worker).inc(seconds)
