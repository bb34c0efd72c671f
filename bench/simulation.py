"""How well `laterna simulate` predicts: costs learned from one trace, latencies of other traces, simulated and real.

The server runs an open loop of Poisson arrivals and is stopped; what its worker learned and its database tells is all
that the simulation knows. Then the server, started again, runs other traces, and the simulation the same ones.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.arrivals import MIX, Arrival, Mix, mean_seconds, poisson
from bench.load import drive, replay
from bench.report import Measured, Report, Row, main, percentile
from bench.servers import Target, laterna
from bench.serving import BODY
from laterna.catalog.catalog import Catalog
from laterna.config import load
from laterna.scheduler.cost import CostModel
from laterna.simulation import history, trace
from laterna.simulation.fleet import Overheads
from laterna.simulation.results import ALL, Result
from laterna.simulation.simulate import simulate
from laterna.simulation.trace import Asked

MODEL = "laterna/sprite"
FITTED = 0.8  # load of the trace that is learned from; 1 is what one request after the other could just do
LOADS = (0.6, 1.0)  # of those that are predicted
CLASSES = ("normal", "low", ALL)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What one trace taught."""

    costs: CostModel
    overheads: Overheads


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One trace, as it was predicted and as it came."""

    load: float
    arrivals: Sequence[Arrival]
    latencies: Sequence[float]  # seconds, as clients saw them
    predicted: Result

    def real(self, label: str) -> list[float]:
        pairs = zip(self.arrivals, self.latencies, strict=True)
        return sorted(took for one, took in pairs if label == ALL or one.interactive == (label == "normal"))

    def mean(self, label: str = ALL) -> tuple[float, float]:
        """Predicted and real, in seconds."""
        return self.predicted.classes[label].mean_s, statistics.mean(self.real(label))

    def p95(self, label: str = ALL) -> tuple[float, float]:
        return self.predicted.classes[label].p95_s, percentile(self.real(label), 0.95)


def measure(quick: bool) -> Report:
    """Learn from one trace, predict others."""
    mix = [replace(kind, steps=max(1, kind.steps // 4)) for kind in MIX] if quick else MIX
    count = 20 if quick else 100
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with laterna(data, MODEL, BODY) as target:
            capacity = _warm(target, mix, times=1 if quick else 3)
            asyncio.run(replay(target, poisson(mix, FITTED * capacity, count, seed=1)))
        known = _known(data)
        with laterna(data, MODEL, BODY) as target:
            _warm(target, mix, times=1)
            compared = [
                _compare(target, known, poisson(mix, load * capacity, count, seed=number), load)
                for number, load in enumerate(LOADS, 2)
            ]
    return _report(compared)


def _warm(target: Target, mix: Mix, times: int) -> float:
    """Have the model loaded and some batches run; returns how many requests of the mix one by one are done a second."""
    asyncio.run(drive(target, 8, 16))
    alone: Mapping[int, float] = {
        kind.steps: statistics.median(
            asyncio.run(drive(replace(target, body={**BODY, "num_inference_steps": kind.steps}), 1, times)).latencies
        )
        for kind in mix
    }
    return 1 / mean_seconds(mix, alone)


def _known(data: Path) -> Known:
    [learned] = data.glob("costs-*.json")
    copied = data / "fitted.json"
    shutil.copy(learned, copied)
    return Known(costs=CostModel.load(copied), overheads=history.overheads(history.done(load({"data": data}, {}))))


def _compare(target: Target, known: Known, arrivals: Sequence[Arrival], load: float) -> Compared:
    name = Catalog.load(None).endpoint(MODEL)[0].ref().name
    asked = [
        Asked(
            time_s=one.at_s,
            priority="normal" if one.interactive else "low",
            steps=one.steps,
            width=64,
            height=64,
            cfg_scale=2.0,
        )
        for one in arrivals
    ]
    predicted = simulate(trace.arrivals(asked, lambda _: name), {"cpu": known.costs}, overheads=known.overheads)
    block = asyncio.run(replay(target, arrivals))
    return Compared(load=load, arrivals=arrivals, latencies=block.latencies, predicted=predicted)


def _report(compared: Sequence[Compared]) -> Report:
    rows: list[Row] = [
        (f"{one.load:g}", label, *_errors(*one.mean(label)), *_errors(*one.p95(label)))
        for one in compared
        for label in CLASSES
    ]
    columns = ("mean s, predicted", "real", "off by %", "p95 s, predicted", "real", "off by %")
    return Report(
        tables=[Measured(title="Latencies, predicted and real", columns=("load", "class", *columns), rows=rows)],
        figures={
            "mean_error": max(abs(_off(*one.mean())) for one in compared),
            "p95_error": max(abs(_off(*one.p95())) for one in compared),
        },
        notes=(
            f"Costs and overheads were learned from a trace at load {FITTED:g}; load 1 is what one request after the",
            "other could just do. The errors are the worst of the loads, of all requests together, as a share.",
        ),
        plot=lambda path: _plot(path, compared),
    )


def _errors(predicted: float, real: float) -> tuple[float, float, float]:
    return predicted, real, 100 * _off(predicted, real)


def _off(predicted: float, real: float) -> float:
    return predicted / real - 1


def _plot(path: Path, compared: Sequence[Compared]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(compared), figsize=(10, 3.8), layout="constrained", squeeze=False)
    for axis, one in zip(axes[0], compared, strict=True):
        for number, label in enumerate(CLASSES[:-1]):
            for style, seconds in (("-", one.real(label)), ("--", one.predicted.classes[label].latencies_s)):
                shares = [100 * (rank + 1) / len(seconds) for rank in range(len(seconds))]
                name = f"{label}, {'real' if style == '-' else 'predicted'}"
                axis.step(seconds, shares, style, color=f"C{number}", where="post", label=name)
        axis.set(title=f"load {one.load:g}", xlabel="seconds", ylabel="answered, %", xscale="log", ylim=(0, 102))
        axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
