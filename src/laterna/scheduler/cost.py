"""What a device call costs, learned from the calls made on one device: seconds by model, stage, tokens, batch and more.

Remembers the latest few calls of every kind and believes their median, so that one swapped-out second is no new normal;
answers for kinds not seen yet from the nearest that were. How far it was off is remembered too: that is what its
intervals are made of. Bounded, whatever it is fed. Knows no model, no torch and no clock; its neighbours are the
policy, which fills batches by it, and dispatch, which tells ETAs.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low

import msgspec

from laterna.contracts.messages import Observation
from laterna.scheduler.calibration import Residuals

BETWEEN = "between"  # a stage of its own: what passes before a call that follows another at once
PRIOR_SECONDS = 0.2  # of a call for one sample of a model of which nothing is known
RECENT = 15  # calls of a kind that are remembered
FIRST_BATCH = 4  # samples of a model of which nothing is known may share a call
SURE = 3  # calls of a kind before it is believed where others are known better: first calls are slow
GROWTH = 0.5  # a batch that is to be tried is thought to cost so high a power of its size: hope enough to try it
MOST_STAGES = 192  # stages of models that are remembered: the latest used
MOST_KINDS = 96  # of one stage
GRAIN = 8  # kinds of tokens in a doubling: calls that differ by less than 9 % in work cost alike, for each token


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one stage that cost alike."""

    grain: int  # tokens per sample, on a scale of GRAIN to the doubling
    batch: int
    adapters: int  # samples with adapters
    skipped: int  # samples that reused what they had computed before


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A kind as it is kept in a file."""

    model: str
    stage: str
    kind: Kind
    seconds: list[float]  # of the latest calls, oldest first, scaled to the grain's own tokens
    calls: int


@dataclass(kw_only=True)
class Cost:
    """The latest calls of one kind."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    calls: int = 0
    seconds: float = 0.0  # the median of the recent ones

    def learn(self, seconds: float) -> None:
        self.calls += 1
        self.recent.append(seconds)
        self.seconds = median_low(self.recent)


@dataclass(kw_only=True)
class Stage:
    """One model's calls of one stage."""

    kinds: OrderedDict[Kind, Cost] = field(default_factory=OrderedDict)  # the latest learned last
    guessed: dict[tuple[int, Kind], float] = field(default_factory=dict)  # predictions since anything was learned
    residuals: Residuals = field(default_factory=Residuals)

    def learn(self, tokens: int, kind: Kind, seconds: float) -> None:
        if self.kinds:
            self.residuals.learn(self.predict(tokens, kind), seconds)
        cost = self.kinds.setdefault(kind, Cost())
        cost.learn(seconds * _tokens(kind.grain) / tokens)
        self.kinds.move_to_end(kind)
        if len(self.kinds) > MOST_KINDS:
            self.kinds.popitem(last=False)
        self.guessed.clear()

    def predict(self, tokens: int, kind: Kind) -> float:
        """Seconds of one call. There is at least one kind."""
        known = self.guessed.get((tokens, kind))
        if known is None:
            if len(self.guessed) > MOST_KINDS * MOST_KINDS:
                self.guessed.clear()
            known = self.guessed[tokens, kind] = self._predict(tokens, kind)
        return known

    def _predict(self, tokens: int, kind: Kind) -> float:
        exact = self.kinds.get(kind)
        if exact is not None and exact.calls >= SURE:
            return exact.seconds * tokens / _tokens(kind.grain)
        near = min(self.kinds, key=lambda other: (_differs(kind, other), abs(other.grain - kind.grain)))
        sure, curve = self._curve(near)
        return _at(curve, kind.batch, sure) * tokens / _tokens(near.grain)

    def _curve(self, like: Kind) -> tuple[bool, list[tuple[int, float]]]:
        """Batch and seconds of kinds like it, never falling. Those not sure only where none is: then False."""
        alike = {k.batch: c for k, c in self.kinds.items() if k.grain == like.grain and _differs(k, like) == 0}
        sure = {batch: cost for batch, cost in alike.items() if cost.calls >= SURE}
        known, curve, least = sure or alike, list[tuple[int, float]](), 0.0
        for batch in sorted(known):
            least = max(least, known[batch].seconds)
            curve.append((batch, least))
        return bool(sure), curve


class CostModel:
    """Seconds per call of one device. Not thread-safe: one owner."""

    def __init__(self) -> None:
        self._stages: OrderedDict[tuple[str, str], Stage] = OrderedDict()  # the latest learned last

    def learn(self, seen: Observation) -> None:
        tokens = max(1, seen.tokens)
        kind = Kind(grain=_grain(tokens), batch=seen.batch, adapters=seen.adapters, skipped=seen.skipped)
        self._stage(seen.model, seen.stage).learn(tokens, kind, seen.device_ns / 1e9)
        if seen.between_ns is not None:
            alike = Kind(grain=0, batch=seen.batch, adapters=0, skipped=0)
            self._stage(seen.model, BETWEEN).learn(1, alike, seen.between_ns / 1e9)

    def call_seconds(
        self, model: str, stage: str, tokens: int, batch: int, adapters: int = 0, skipped: int = 0
    ) -> float:
        """Predicted seconds of one call for `batch` samples of `tokens` each; from the nearest kind known."""
        known = self._stages.get((model, stage))
        if known is None:
            return float(PRIOR_SECONDS * min(batch, FIRST_BATCH) ** GROWTH * max(1, batch / FIRST_BATCH))
        tokens = max(1, tokens)
        return known.predict(tokens, Kind(grain=_grain(tokens), batch=batch, adapters=adapters, skipped=skipped))

    def call_interval(self, model: str, stage: str, tokens: int, batch: int, share: float = 0.9) -> tuple[float, float]:
        """Seconds between which that `share` of such calls is to be expected, by how far earlier ones were off."""
        seconds = self.call_seconds(model, stage, tokens, batch)
        known = self._stages.get((model, stage))
        low, high = (known.residuals if known else Residuals()).interval(share)
        return seconds * low, seconds * high

    def knows(self, model: str) -> bool:
        return (model, "denoise") in self._stages

    def spread(self, model: str, stage: str) -> list[float]:
        """How the latest calls of a stage varied: seconds by the median of their kind. Empty where none is known."""
        known = self._stages.get((model, stage))
        kinds = [] if known is None else [cost for cost in known.kinds.values() if cost.seconds > 0]
        return [seconds / cost.seconds for cost in kinds for seconds in cost.recent]

    def request_seconds(self, model: str, tokens: int, steps: int, samples: int = 1) -> float:
        """Predicted device seconds of `samples` whole samples that still need `steps` denoising steps, run alone."""
        ends = self.call_seconds(model, "encode", tokens, 1) + self.call_seconds(model, "decode", tokens, 1)
        return samples * (ends + steps * self.call_seconds(model, "denoise", tokens, 1))

    def save(self, path: Path) -> None:
        """Write atomically; a crash leaves the earlier file."""
        rows = [
            Remembered(model=model, stage=name, kind=kind, seconds=list(cost.recent), calls=cost.calls)
            for (model, name), stage in self._stages.items()
            for kind, cost in stage.kinds.items()
        ]
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(rows))
        os.replace(new, path)

    @classmethod
    def load(cls, path: Path) -> CostModel:
        """Read what was saved; an absent or unreadable file is an empty model, since all of it can be learned anew."""
        model = cls()
        try:
            rows = msgspec.json.decode(path.read_bytes(), type=list[Remembered])
        except (OSError, msgspec.DecodeError):
            return model
        for row in rows:
            cost = model._stage(row.model, row.stage).kinds.setdefault(row.kind, Cost())
            for seconds in row.seconds:
                cost.learn(seconds)
            cost.calls = row.calls
        return model

    def _stage(self, model: str, name: str) -> Stage:
        stage = self._stages.setdefault((model, name), Stage())
        self._stages.move_to_end((model, name))
        if len(self._stages) > MOST_STAGES:
            self._stages.popitem(last=False)
        return stage


def _grain(tokens: int) -> int:
    return round(GRAIN * math.log2(tokens))


def _tokens(grain: int) -> float:
    return float(2 ** (grain / GRAIN))


def _differs(one: Kind, other: Kind) -> int:
    """How unlike two kinds are apart from their batch and tokens."""
    adapted = (one.adapters > 0) != (other.adapters > 0)
    return 2 * adapted + abs(one.skipped - other.skipped)


def _at(curve: list[tuple[int, float]], batch: int, sure: bool) -> float:
    """Seconds of a batch by those measured: on the line between two, or on with it; in proportion where there is one.

    A batch up to twice the only one that was tried may be hoped to gain, so that larger ones are tried one after the
    other; and a smaller one, once that is sure, so that it is not missed.
    """
    place = bisect_left(curve, (batch, 0.0))
    if place < len(curve) and curve[place][0] == batch:
        return curve[place][1]
    if len(curve) == 1 or place == 0:
        only, seconds = curve[0]
        hoped = only < batch <= 2 * only or (batch < only and not sure)
        return float(seconds * (batch / only) ** (GROWTH if hoped else 1))
    (low, low_s), (high, high_s) = curve[min(place, len(curve) - 1) - 1 :][:2]
    line = low_s + (high_s - low_s) * (batch - low) / (high - low)
    return line if batch <= 2 * curve[-1][0] else line * batch / curve[-1][0]
