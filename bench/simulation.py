"""How well `laterna simulate` predicts: costs learned from one trace, latencies of other traces, simulated and real.

A server runs an open loop of Poisson arrivals; what its worker learned and its database tells is all that the
simulation knows. Another server runs other traces, and the simulation the same ones.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.arrivals import MIX, Arrival, Mix, mean_seconds, poisson
from bench.load import drive, replay, solo_seconds
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
PAUSE_SECONDS = 3600.0  # between the simulated parts of a trace: none waits for another


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
    """Learn from one trace, predict others; their parts take turns, so that the machine is as fast for all."""
    mix = [replace(kind, steps=max(1, kind.steps // 4)) for kind in MIX] if quick else MIX
    rounds, count = (1, 20) if quick else (5, 30)
    with tempfile.TemporaryDirectory() as taught_data, tempfile.TemporaryDirectory() as tried_data:
        with laterna(Path(taught_data), MODEL, BODY) as taught, laterna(Path(tried_data), MODEL, BODY) as tried:
            capacity = _warm(taught, mix, times=1 if quick else 3)
            _warm(tried, mix, times=1)
            lesson, *tests = [
                _parts(poisson(mix, load * capacity, rounds * count, seed=number), count)
                for number, load in enumerate((FITTED, *LOADS), 1)
            ]
            seen: dict[float, list[float]] = {load: [] for load in LOADS}
            for number, part in enumerate(lesson):
                asyncio.run(replay(taught, part))
                for load, parts in zip(LOADS, tests, strict=True):
                    seen[load] += asyncio.run(replay(tried, parts[number])).latencies
        known = _known(Path(taught_data))
    return _report([_compare(known, load, parts, seen[load]) for load, parts in zip(LOADS, tests, strict=True)])


def _parts(arrivals: Sequence[Arrival], count: int) -> list[list[Arrival]]:
    """So many each, the first of a part at once."""
    cuts = [arrivals[at : at + count] for at in range(0, len(arrivals), count)]
    return [[replace(one, at_s=one.at_s - part[0].at_s) for one in part] for part in cuts]


def _warm(target: Target, mix: Mix, times: int) -> float:
    """Have the model loaded and some batches run; returns how many requests of the mix one by one are done a second."""
    asyncio.run(drive(target, 8, 16))
    return 1 / mean_seconds(mix, solo_seconds(target, mix, times))


def _known(data: Path) -> Known:
    [learned] = data.glob("costs-*.json")
    copied = data / "fitted.json"
    shutil.copy(learned, copied)
    return Known(costs=CostModel.load(copied), overheads=history.overheads(history.done(load({"data": data}, {}))))


def _compare(known: Known, load: float, parts: Sequence[Sequence[Arrival]], latencies: Sequence[float]) -> Compared:
    name = Catalog.load(None).endpoint(MODEL)[0].ref().name
    asked = [
        Asked(
            time_s=number * PAUSE_SECONDS + one.at_s,
            priority="normal" if one.interactive else "low",
            steps=one.steps,
            width=64,
            height=64,
            cfg_scale=2.0,
        )
        for number, part in enumerate(parts)
        for one in part
    ]
    predicted = simulate(trace.arrivals(asked, lambda _: name), {"cpu": known.costs}, overheads=known.overheads)
    arrivals = [one for part in parts for one in part]
    return Compared(load=load, arrivals=arrivals, latencies=latencies, predicted=predicted)


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
