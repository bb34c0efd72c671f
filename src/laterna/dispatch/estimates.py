"""When a request will be done: predicted seconds of what is ahead of it and of itself, from what workers measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from laterna.contracts.generation import Generation, work_tokens
from laterna.contracts.messages import Observation, Progress
from laterna.scheduler.cost import CostModel


class Estimates:
    """The server's own cost model, fed by the workers' observations."""

    def __init__(self, costs_files: Iterable[Path]) -> None:
        self._costs = CostModel()
        for path in costs_files:
            if path.exists():
                self._costs = CostModel.load(path)
        self._progress: dict[str, Progress] = {}  # request id -> its latest, while it runs

    def learn(self, seen: Observation) -> None:
        self._costs.learn(seen)

    def heard(self, progress: Progress) -> None:
        self._progress[progress.lease.request_id] = progress

    def forget(self, request_id: str) -> None:
        self._progress.pop(request_id, None)

    def progress(self, request_id: str) -> Progress | None:
        """The latest progress of a running request; None when it does not run here."""
        return self._progress.get(request_id)

    def seconds(self, model: str, job: Generation) -> float | None:
        """Predicted device seconds of a whole request run alone; None for a model that never ran here."""
        if not self._costs.knows(model):
            return None
        return self._costs.request_seconds(model, work_tokens(job), job.steps, job.count)
