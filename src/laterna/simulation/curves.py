"""What calls cost on a simulated device: a cost model that a worker learned, or a published curve from a file.

Both become the cost model that the policy knows; a learned one also says how calls vary. Refuses files that do not say
what a denoising step takes. Knows no model: its neighbours are `device`, which asks it what each call takes.
"""

from __future__ import annotations

import csv
import random
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from laterna.contracts.messages import Observation
from laterna.errors import ConfigError
from laterna.scheduler.cost import BETWEEN, SURE, CostModel
from laterna.scheduler.policy import StepPlan

STAGES = ("encode", "denoise", "decode")


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured call, as a curve file has it."""

    stage: str  # encode, denoise, decode or between
    tokens: float  # of one sample: its pixels by 256, twice that with classifier-free guidance
    batch: int  # samples in the call
    seconds: float  # of the whole call
    model: str = ""  # whose; empty: of every model that is asked for


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A curve file."""

    source: str  # where the figures come from
    call: list[Point]


def read_curve(path: Path, models: Iterable[str]) -> CostModel:
    """Read a curve: TOML or CSV of `Point`s, or the JSON that a worker wrote.

    Args:
        models: names under which points without a model are learned.

    Raises:
        ConfigError: where it is no curve, or says nothing of denoising for one of the models.
    """
    wanted = sorted(set(models))
    if path.suffix == ".json":
        costs = CostModel.load(path)
    else:
        costs = CostModel()
        for point in _points(path):
            for model in [point.model] if point.model else wanted:
                _learn(costs, model, point)
    for model in wanted:
        if not costs.knows(model):
            raise ConfigError(f"{path}: no call of stage denoise for {model!r}; add some, or leave out their model")
    return costs


def _points(path: Path) -> list[Point]:
    try:
        if path.suffix == ".csv":
            with path.open(newline="") as lines:
                points = msgspec.convert(list(csv.DictReader(lines)), list[Point], strict=False)
        else:
            points = msgspec.convert(tomllib.loads(path.read_text()), Curve).call
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{path}: not a curve: {error}; docs/simulation.md shows one") from error
    for point in points:
        _check(path, point)
    return _completed(points)


def _check(path: Path, point: Point) -> None:
    if point.stage not in (*STAGES, BETWEEN):
        raise ConfigError(f"{path}: stage = {point.stage!r}: expected one of {', '.join((*STAGES, BETWEEN))}")
    for name in ("tokens", "batch", "seconds"):
        if not getattr(point, name) > 0:
            raise ConfigError(f"{path}: {name} = {getattr(point, name)!r}: must be above 0")


def _completed(points: list[Point]) -> list[Point]:
    """Encoding and decoding, where the file does not speak of them, take no time."""
    told = {(point.model, point.stage) for point in points}
    free = {(point.model, stage) for point in points for stage in ("encode", "decode")} - told
    return [*points, *(Point(stage=s, tokens=1, batch=1, seconds=1e-9, model=model) for model, s in sorted(free))]


def _learn(costs: CostModel, model: str, point: Point) -> None:
    for _ in range(SURE):
        costs.learn(
            Observation(
                model=model,
                stage=point.stage,
                tokens=max(1, round(point.tokens)),
                batch=point.batch,
                device_ns=max(1, round(point.seconds * 1e9)),
            )
        )


@dataclass(kw_only=True)
class Measured:
    """What calls take by a cost model: its prediction, varied as the calls that it learned from varied."""

    costs: CostModel  # is not taught by what is simulated
    draw: random.Random

    def __post_init__(self) -> None:
        self._spreads: dict[tuple[str, str], Sequence[float]] = {}

    def call_seconds(self, plan: StepPlan) -> float:
        return self._vary(plan.model, plan.stage, plan.tokens, len(plan.members))

    def between_seconds(self, plan: StepPlan) -> float:
        """Of what passes before such a call; nothing where nothing was learned of that."""
        if not self._spread(plan.model, BETWEEN):
            return 0.0
        return self._vary(plan.model, BETWEEN, 1, len(plan.members))

    def _vary(self, model: str, stage: str, tokens: int, batch: int) -> float:
        spread = self._spread(model, stage)
        return self.costs.call_seconds(model, stage, tokens, batch) * (self.draw.choice(spread) if spread else 1.0)

    def _spread(self, model: str, stage: str) -> Sequence[float]:
        if (model, stage) not in self._spreads:
            self._spreads[model, stage] = self.costs.spread(model, stage)
        return self._spreads[model, stage]
