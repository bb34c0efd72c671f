"""What requests will take, by what the workers measured: one cost model for each device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from laterna.contracts.generation import Generation, work_tokens
from laterna.contracts.messages import Failed, Finished, Observation, Progress
from laterna.scheduler.cost import CostModel


class Estimates:
    """The server's own cost models, fed by the workers' observations."""

    def __init__(self, costs_files: Mapping[str, Path]) -> None:
        """`costs_files`: what each worker, by name, has learned before."""
        self._costs = {worker: CostModel.load(path) for worker, path in costs_files.items()}
        self._running: dict[str, Progress] = {}  # request id -> its latest

    def learn(self, worker: str, seen: Observation) -> None:
        self._costs.setdefault(worker, CostModel()).learn(seen)

    def heard(self, progress: Progress) -> None:
        self._running[progress.lease.request_id] = progress

    def settled(self, message: Finished | Failed) -> None:
        self._running.pop(message.lease.request_id, None)

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

    def call_seconds(self, worker: str, seen: Observation) -> float | None:
        """What a call like that is predicted to take there; None where the model never ran on it."""
        costs = self._costs.get(worker)
        if costs is None or not costs.knows(seen.model):
            return None
        return costs.call_seconds(seen.model, seen.stage, seen.tokens, seen.batch, seen.adapters, seen.skipped)

    def typical(self, model: str, job: Generation) -> float | None:
        """The same on the average device that knows the model; None where none does."""
        known = [costs for costs in self._costs.values() if costs.knows(model)]
        if not known:
            return None
        return fmean(costs.request_seconds(model, work_tokens(job), job.steps, job.count) for costs in known)
