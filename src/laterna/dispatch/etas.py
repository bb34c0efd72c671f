"""When requests will be done, with intervals, and which cannot be in time: from all that waits and runs.

Dispatch has it look at the queue and the windows now and then; between two looks it answers from memory. It learns how
far off it was from every request that ends well, and keeps that in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from laterna.catalog.catalog import Catalog
from laterna.clock import Clock
from laterna.contracts.generation import Generation, work_tokens
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.windows import Holding, Window
from laterna.errors import DeadlineUnreachable, EndpointNotFound
from laterna.requests.requests import RequestView, Submission, Total, Waiting
from laterna.scheduler.forecast import Backlog, Calibration, Eta, Load, Pace, Standing, kinds_of

__all__ = ["Eta", "Etas"]

WAITING, RUNNING = "waiting", "running"
NORMAL = 1  # priority
SAVE_SECONDS = 30.0  # between two savings of what was learned: so much of it is lost at most

log = structlog.get_logger(__name__)


class Etas:
    """One for a server; used from its event loop alone."""

    def __init__(self, catalog: Catalog, estimates: Estimates, clock: Clock, file: Path | None = None) -> None:
        """`file`: where it keeps how far off it was; absent: nowhere."""
        self._catalog = catalog
        self._estimates = estimates
        self._clock = clock
        self._backlog = Backlog()
        self._pace = Pace()
        self._file = file
        self._calibration = Calibration() if file is None else Calibration.load(file)
        self._learned = False  # whether there is anything that is not in the file
        self._saved_s = self._now_s()
        self._done_s: dict[str, float] = {}  # worker -> work done since the last look
        self._held: dict[str, Holding] = {}  # by request id
        self._ready: list[str] = []  # workers
        self._looked_s: float | None = None  # absent before the first look

    def worked(self, worker: str, seconds: float) -> None:
        """So much predicted work of what the worker holds is done."""
        self._done_s[worker] = self._done_s.get(worker, 0.0) + max(0.0, seconds)

    def ended(self, request_id: str, well: bool) -> None:
        """It is settled; where it ended well, what was predicted of it is checked."""
        if well:
            self._learned = True
            self._calibration.ended(request_id, self._now_s())
        else:
            self._calibration.forget(request_id)

    def save(self) -> None:
        """Now; a file that cannot be written is no reason to stop."""
        if self._file is not None and self._learned:
            self._learned = False
            try:
                self._calibration.save(self._file)
            except OSError as error:
                log.warning("ETAs could not keep what they learned", file=str(self._file), error=str(error))

    def look(self, page: Sequence[Waiting], totals: Iterable[Total], windows: Sequence[Window]) -> None:
        """See what waits and what workers hold."""
        now_s = self._now_s()
        if now_s - self._saved_s >= SAVE_SECONDS:
            self._saved_s = now_s
            self.save()
        since_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        for window in windows:
            if window.held:
                self._pace.saw(window.worker, self._done_s.pop(window.worker, 0.0), since_s)
        self._ready = [window.worker for window in windows if window.ready]
        self._held = {held.lease.request_id: held for window in windows for held in window.held.values()}
        standings = {one.tenant: Standing(weight=one.weight, virtual_s=one.virtual_ns / 1e9) for one in page}
        running = [_load_of(held) for held in self._held.values()]
        self._backlog = Backlog([*running, *self._waiting(page, totals)], standings)
        for request_id, held in self._held.items():
            self._predict(request_id, _load_of(held), _phase(held))
        for one in page:
            self._predict_waiting(one)

    def eta(self, view: RequestView) -> Eta | None:
        """When it will be done; None when it is, or for a model that never ran here."""
        if view.settled:
            return None
        held = self._held.get(view.request_id)
        if held is not None:
            return self._predict(view.request_id, _load_of(held), _phase(held))
        mine = self._mine(view.card_id, view.generation, view.tenant, view.priority, view.created_us)
        return None if mine is None else self._predict(view.request_id, mine, WAITING)

    def would_take(self, tenant: str, card_id: str, job: Generation) -> Eta | None:
        """When a request of normal priority would be done if it came now; None for a model that never ran here."""
        mine = self._mine(card_id, job, tenant, NORMAL, self._clock.now_us())
        if mine is None:
            return None
        kinds = kinds_of(WAITING, mine.priority, mine.left_s)
        return self._calibration.eta(self._ahead_s(mine) + mine.left_s, kinds)

    def check(self, asked: Submission) -> None:
        """Raises DeadlineUnreachable for what would hardly begin, or end, by the moment that its owner gives."""
        now_us = self._clock.now_us()
        mine = self._mine(asked.card_id, asked.generation, asked.tenant, asked.priority, now_us)
        if mine is None or not self._ready:
            return
        kinds = kinds_of(WAITING, mine.priority, mine.left_s)
        for name, moment_us, own_s in (
            ("start_by", asked.start_by_us, 0.0),
            ("finish_by", asked.finish_by_us, mine.left_s),
        ):
            if moment_us is None:
                continue
            eta = self._calibration.eta(self._ahead_s(mine) + own_s, kinds)
            if eta.low_s > (moment_us - now_us) / 1e6:
                what = "begin" if name == "start_by" else "end"
                raise DeadlineUnreachable(
                    f"{name} lies {(moment_us - now_us) / 1e6:.1f} s ahead, but the request is predicted to {what} in "
                    f"{eta.low_s:.1f} to {eta.high_s:.1f} s; give it longer, or ask for fewer steps or pictures"
                )

    def _predict_waiting(self, one: Waiting) -> None:
        mine = self._mine(one.card_id, one.generation, one.tenant, one.priority, one.created_us)
        if mine is not None:
            self._predict(one.id, mine, WAITING)

    def _predict(self, request_id: str, mine: Load, phase: str) -> Eta:
        predicted_s = self._ahead_s(mine) + mine.left_s
        kinds = kinds_of(phase, mine.priority, mine.left_s)
        self._calibration.told(request_id, predicted_s, kinds, self._now_s())
        return self._calibration.eta(predicted_s, kinds)

    def _ahead_s(self, mine: Load) -> float:
        return self._backlog.ahead_s(mine) / (self._pace.of(self._ready) or 1.0)

    def _mine(self, card_id: str, job: Generation | None, tenant: str, priority: int, created_us: int) -> Load | None:
        """A request that waits; None for a model that never ran here."""
        try:
            model = self._catalog.card(card_id).ref().name
        except EndpointNotFound:
            return None
        seconds = None if job is None else self._estimates.typical(model, job)
        if seconds is None:
            return None
        return Load(tenant=tenant, priority=priority, left_s=seconds, first_us=created_us, last_us=created_us)

    def _waiting(self, page: Iterable[Waiting], totals: Iterable[Total]) -> Iterable[Load]:
        """Of whole lanes the work is known, and of those in the page what it takes."""
        seen: dict[str, tuple[float, int]] = {}  # card -> seconds, work
        for one in page:
            mine = self._mine(one.card_id, one.generation, one.tenant, one.priority, one.created_us)
            if mine is not None and one.generation is not None:
                job, (seconds, work) = one.generation, seen.get(one.card_id, (0.0, 0))
                seen[one.card_id] = (seconds + mine.left_s, work + work_tokens(job) * job.steps * job.count)
        for total in totals:
            seconds, work = seen.get(total.card_id, (0.0, 0))
            if work:
                yield Load(
                    tenant=total.tenant,
                    priority=total.priority,
                    left_s=total.work * seconds / work,
                    count=total.count,
                    first_us=total.first_us,
                    last_us=total.last_us,
                )

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _load_of(held: Holding) -> Load:
    return Load(
        tenant=held.tenant,
        priority=held.priority,
        left_s=held.left_s,
        first_us=held.created_us,
        last_us=held.created_us,
    )


def _phase(held: Holding) -> str:
    return WAITING if held.begun_ns is None else RUNNING
