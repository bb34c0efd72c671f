"""When a request will be done: predicted seconds of what is ahead of it and of itself, from what workers measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from laterna.catalog.catalog import Catalog
from laterna.contracts.generation import work_tokens
from laterna.contracts.messages import Failed, Finished, Observation, Progress
from laterna.errors import EndpointNotFound
from laterna.requests.views import RequestView
from laterna.scheduler.cost import CostModel

MEMORY = 0.1  # weight of the newest request in the typical one


class Estimates:
    """The server's own cost model, fed by the workers' observations."""

    def __init__(self, catalog: Catalog, costs_files: Iterable[Path]) -> None:
        self._catalog = catalog
        self._costs = CostModel()
        for path in costs_files:
            if path.exists():
                self._costs = CostModel.load(path)
        self._running: dict[str, Progress] = {}  # request id -> its latest
        self._typical_s: float | None = None  # device seconds of a request; absent before the first

    def learn(self, seen: Observation) -> None:
        self._costs.learn(seen)

    def heard(self, progress: Progress) -> None:
        self._running[progress.lease.request_id] = progress

    def settled(self, message: Finished | Failed) -> None:
        self._running.pop(message.lease.request_id, None)
        seconds = sum(spent.device_ns for spent in message.spent) / 1e9
        if isinstance(message, Finished):
            known = seconds if self._typical_s is None else self._typical_s
            self._typical_s = known + MEMORY * (seconds - known)

    def lost(self, request_id: str) -> None:
        self._running.pop(request_id, None)

    def progress(self, request_id: str) -> Progress | None:
        """How far a running request is, as last heard; None for one that does not run."""
        return self._running.get(request_id)

    def eta(self, view: RequestView) -> float | None:
        """Predicted seconds until it is done; None when it is, or for a model that never ran here."""
        if view.settled:
            return None
        progress = self._running.get(view.request_id)
        if progress is not None and progress.stage != "load":
            return progress.remaining_s
        own = self._seconds(view)
        if own is None:
            return None
        typical = own if self._typical_s is None else self._typical_s
        return own + (view.position or 0) * typical

    def _seconds(self, view: RequestView) -> float | None:
        """Device seconds of the whole request, run alone."""
        job = view.generation
        try:
            model = self._catalog.card(view.card_id).ref().name
        except EndpointNotFound:
            return None
        if job is None or not self._costs.knows(model):
            return None
        return self._costs.request_seconds(model, work_tokens(job), job.steps, job.count)
