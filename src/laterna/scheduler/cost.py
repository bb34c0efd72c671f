"""What a device call costs, learned from the calls made: seconds by model, stage, tokens and batch size.

Keeps a robust running mean per kind of call and answers for kinds not seen yet from the nearest one that was. Knows no
model, no torch and no clock; its neighbours are the policy, which fills batches by it, and dispatch, which tells ETAs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from laterna.contracts.messages import Observation

PRIOR_SECONDS = 0.2  # for a model of which nothing is known
MEMORY = 0.1  # weight of the newest call once ten were seen
OUTLIER = 4.0  # a call may pull the mean at most so many times away: one swapped-out second is no new normal
GAIN = 0.97  # a larger batch pays if it lowers the time per sample at least to this share
SURE = 3  # calls of a kind before the knee believes its mean
LARGEST_BATCH = 16


@dataclass(frozen=True)
class Kind:
    """Calls that cost alike."""

    model: str
    stage: str
    tokens: int  # per sample
    batch: int


@dataclass
class Cost:
    """The running mean of one kind of call."""

    seconds: float
    calls: int = 1

    def learn(self, seconds: float) -> None:
        self.calls += 1
        bounded = min(max(seconds, self.seconds / OUTLIER), self.seconds * OUTLIER)
        self.seconds += max(MEMORY, 1 / self.calls) * (bounded - self.seconds)


class CostModel:
    """Seconds per device call. Not thread-safe: one owner."""

    def __init__(self) -> None:
        self._costs: dict[Kind, Cost] = {}

    def learn(self, seen: Observation) -> None:
        kind = Kind(seen.model, seen.stage, seen.tokens, seen.batch)
        seconds = seen.device_ns / 1e9
        known = self._costs.get(kind)
        if known is None:
            self._costs[kind] = Cost(seconds)
        else:
            known.learn(seconds)

    def call_seconds(self, model: str, stage: str, tokens: int, batch: int) -> float:
        """Predicted seconds of one call; from the nearest known kind of the model and stage, scaled by its work."""
        exact = self._costs.get(Kind(model, stage, tokens, batch))
        if exact is not None:
            return exact.seconds
        near = [(kind, cost) for kind, cost in self._costs.items() if (kind.model, kind.stage) == (model, stage)]
        if not near:
            return PRIOR_SECONDS
        work = tokens * batch
        kind, cost = min(near, key=lambda item: abs(item[0].tokens * item[0].batch - work))
        return cost.seconds * work / (kind.tokens * kind.batch)

    def knows(self, model: str) -> bool:
        return any(kind.model == model and kind.stage == "denoise" for kind in self._costs)

    def request_seconds(self, model: str, tokens: int, steps: int, samples: int = 1) -> float:
        """Predicted device seconds of `samples` whole samples that still need `steps` denoising steps, run alone."""
        ends = self.call_seconds(model, "encode", tokens, 1) + self.call_seconds(model, "decode", tokens, 1)
        return samples * (ends + steps * self.call_seconds(model, "denoise", tokens, 1))

    def knee(self, model: str, stage: str, tokens: int) -> int:
        """The smallest batch about as cheap per sample as the best measured; the largest until measured."""
        per_sample = {
            kind.batch: cost.seconds / kind.batch
            for kind, cost in self._costs.items()
            if (kind.model, kind.stage, kind.tokens) == (model, stage, tokens) and cost.calls >= SURE
        }
        if not per_sample or min(per_sample, key=per_sample.__getitem__) == max(per_sample):
            return LARGEST_BATCH
        best = min(per_sample.values())
        return min(batch for batch, seconds in per_sample.items() if seconds * GAIN <= best)

    def save(self, path: Path) -> None:
        """Write atomically; a crash leaves the earlier file."""
        rows = [[k.model, k.stage, k.tokens, k.batch, c.seconds, c.calls] for k, c in self._costs.items()]
        new = path.with_suffix(".new")
        new.write_text(json.dumps(rows))
        os.replace(new, path)

    @classmethod
    def load(cls, path: Path) -> CostModel:
        """Read what was saved; an absent or unreadable file is an empty model, since all of it can be learned anew."""
        model = cls()
        try:
            model._read(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            model._costs.clear()
        return model

    def _read(self, rows: Iterable[list[object]]) -> None:
        for name, stage, tokens, batch, seconds, calls in rows:
            kind = Kind(str(name), str(stage), int(str(tokens)), int(str(batch)))
            self._costs[kind] = Cost(float(str(seconds)), int(str(calls)))
