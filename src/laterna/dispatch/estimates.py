"""What requests will take and when they will be done, by what the workers measured: one cost model for each device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from laterna.catalog.catalog import Catalog
from laterna.contracts.generation import Generation, work_tokens
from laterna.contracts.messages import Failed, Finished, Observation, Progress
from laterna.errors import EndpointNotFound
from laterna.requests.views import RequestView
from laterna.scheduler.cost import CostModel

MEMORY = 0.1  # weight of the newest request in the typical one


class Estimates:
    """The server's own cost models, fed by the workers' observations."""

    def __init__(self, catalog: Catalog, costs_files: Mapping[str, Path]) -> None:
        """`costs_files`: what each worker, by name, has learned before."""
        self._catalog = catalog
        self._costs = {worker: CostModel.load(path) for worker, path in costs_files.items()}
        self._running: dict[str, Progress] = {}  # request id -> its latest
        self._typical_s: float | None = None  # device seconds of a request; absent before the first

    def learn(self, worker: str, seen: Observation) -> None:
        self._costs.setdefault(worker, CostModel()).learn(seen)

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

    def seconds(self, worker: str, model: str, job: Generation) -> float:
        """Predicted device seconds of a request, run alone on that worker; of one it never ran, as others do."""
        costs = self._costs.get(worker)
        if costs is not None and costs.knows(model):
            return costs.request_seconds(model, work_tokens(job), job.steps, job.count)
        return self.typical(model, job) or CostModel().request_seconds(model, work_tokens(job), job.steps, job.count)

    def typical(self, model: str, job: Generation) -> float | None:
        """The same on the average device that knows the model; None where none does."""
        known = [costs for costs in self._costs.values() if costs.knows(model)]
        if not known:
            return None
        return fmean(costs.request_seconds(model, work_tokens(job), job.steps, job.count) for costs in known)

    def eta(self, view: RequestView) -> float | None:
        """Predicted seconds until it is done; None when it is, or for a model that never ran here."""
        if view.settled:
            return None
        progress = self._running.get(view.request_id)
        if progress is not None and progress.stage not in ("fetch", "load"):
            return progress.remaining_s
        own = self._own(view)
        if own is None:
            return None
        typical = own if self._typical_s is None else self._typical_s
        return own + (view.position or 0) * typical

    def _own(self, view: RequestView) -> float | None:
        try:
            model = self._catalog.card(view.card_id).ref().name
        except EndpointNotFound:
            return None
        return None if view.generation is None else self.typical(model, view.generation)
