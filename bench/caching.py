"""Feature caching on `laterna/sprite`: what it gains and costs, against simply taking fewer steps in the same time.

Pictures are compared with those of the same job without caching (PSNR); seconds are the processor's, in the denoising
calls of one picture alone. The card's thresholds give the figures; without `--quick` others are measured too, to choose
by.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from bench.report import Measured, Report, Row, main
from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.contracts.generation import ModelRef, TextToImage
from laterna.contracts.messages import Assign, Failed, Lease, Observation, Progress
from laterna.engine.engine import Engine, Said
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.families import load_family
from laterna.families.family import Family, Picture
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy, Shares

MODEL = Catalog.load(None).card("laterna/sprite").ref()
STEPS = 20
PROMPTS = (
    "a red fox on a teal background",
    "a yellow sun on a blue background",
    "a green cactus on a white background",
    "a slice of pizza on a purple background",
    "a blue whale on a pink background",
    "a rocket on a black background",
    "a red apple on a green background",
    "a snowman on an orange background",
)
LEVELS = ("regular", "high")
SWEEP = (0.1, 0.14, 0.2, 0.3)
ENOUGH_DB = 99.0  # stands for equal pictures


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to paint a picture."""

    name: str
    family: Family
    steps: int = STEPS
    acceleration: str = "none"


@dataclass(kw_only=True)
class Seen:
    """What one way gave, picture by picture."""

    seconds: list[float] = field(default_factory=list)  # of denoising
    psnr: list[float] = field(default_factory=list)  # dB, against the picture of all steps
    skipped: int = 0  # steps that reused, of all pictures


class Processor(SystemClock):
    """Counts the processor's time, of one thread: what else the machine does changes nothing."""

    def monotonic_ns(self) -> int:
        return time.process_time_ns()


@dataclass(kw_only=True)
class Easel:
    """An audience that keeps one picture and what its denoising took."""

    picture_of: Picture | None = None
    seconds: float = 0.0
    skipped: int = 0

    def say(self, message: Said) -> None:
        if isinstance(message, Failed):
            raise SystemExit(f"{message.code}: {message.message}")

    def observe(self, seen: Observation) -> None:
        if seen.stage == "denoise":
            self.seconds += seen.device_ns / 1e9
            self.skipped += seen.skipped

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None: ...

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        self.picture_of = picture

    def complete(self, run: Run) -> None: ...


def paint(way: Way, prompt: str, seed: int) -> Easel:
    """One picture by the engine, alone."""
    job = TextToImage(
        prompt=prompt, width=64, height=64, steps=way.steps, cfg_scale=2.0, sampler="flow_euler", seed=seed
    )
    job = msgspec.structs.replace(job, acceleration=way.acceleration)
    easel, clock = Easel(), Processor()
    engine = Engine(Residency(lambda _: way.family, 2**40, clock), Policy(clock, CostModel(), Shares()), clock, easel)
    lease = Lease(request_id="bench", token="bench")
    engine.submit(Assign(lease=lease, model=MODEL, generation=job, tenant="bench", priority=1, created_us=0))
    while engine.turn():
        pass
    return easel


def psnr(one: Picture, other: Picture) -> float:
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return min(ENOUGH_DB, 10 * math.log10(255**2 / error)) if error else ENOUGH_DB


def compare(ways: Sequence[Way], exact: Way, jobs: Sequence[tuple[str, int]]) -> dict[str, Seen]:
    """All ways for each job in turn; the first round warms up and is not counted."""
    seen = {way.name: Seen() for way in (exact, *ways)}
    for number, (prompt, seed) in enumerate((jobs[0], *jobs)):
        painted = {way.name: paint(way, prompt, seed) for way in (exact, *ways)}
        truth = painted[exact.name].picture_of
        for name, easel in painted.items() if number else ():
            assert easel.picture_of is not None
            assert truth is not None
            seen[name].seconds.append(easel.seconds)
            seen[name].psnr.append(psnr(easel.picture_of, truth))
            seen[name].skipped += easel.skipped
    return seen


def load(ref: ModelRef) -> Family:
    return load_family(ref, torch.device("cpu"))


def measure(quick: bool) -> Report:
    """Sprite at 20 steps, guided; pictures of different prompts and seeds, the ways interleaved."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    family = load(MODEL)
    jobs = [(prompt, 1000 + number) for number, prompt in enumerate(PROMPTS[: 3 if quick else None])]
    exact = Way(name="none", family=family)
    ways = [Way(name=level, family=family, acceleration=level) for level in LEVELS]
    for threshold in () if quick else SWEEP:
        other = load(msgspec.structs.replace(MODEL, settings={**MODEL.settings, "cache_regular": threshold}))
        ways.append(Way(name=f"threshold {threshold}", family=other, acceleration="regular"))
    seen = compare(ways, exact, jobs)
    return _report(seen, _fewer(seen, exact, jobs))


def gain(seen: dict[str, Seen], name: str) -> float:
    """Times faster than without caching, the median over pictures."""
    return statistics.median(a / b for a, b in zip(seen["none"].seconds, seen[name].seconds, strict=True))


def _fewer(seen: dict[str, Seen], exact: Way, jobs: Sequence[tuple[str, int]]) -> dict[str, tuple[int, Seen]]:
    """For each way the number of steps without caching that takes as long, and what that gives."""
    steps = {name: max(1, round(STEPS / gain(seen, name))) for name in seen if name != "none"}
    ways = [Way(name=f"{count}", family=exact.family, steps=count) for count in sorted(set(steps.values()))]
    found = compare(ways, exact, jobs)
    return {name: (count, found[f"{count}"]) for name, count in steps.items()}


def _report(seen: dict[str, Seen], fewer: dict[str, tuple[int, Seen]]) -> Report:
    rows: list[Row] = []
    figures: dict[str, float] = {}
    for name, (steps, instead) in fewer.items():
        ours, theirs = statistics.mean(seen[name].psnr), statistics.mean(instead.psnr)
        skipped = seen[name].skipped / len(seen[name].psnr)
        rows.append((name, gain(seen, name), f"{skipped:.1f}", ours, min(seen[name].psnr), f"{steps}", theirs))
        if name in LEVELS:
            figures |= {f"speedup_{name}": gain(seen, name), f"psnr_{name}": ours, f"psnr_fewer_{name}": theirs}
    table = Measured(
        title=f"Feature caching, laterna/sprite, {STEPS} steps",
        columns=("acceleration", "speedup", "skipped", "PSNR dB", "worst dB", "fewer steps", "their PSNR dB"),
        rows=rows,
    )
    return Report(
        tables=(table,),
        figures=figures,
        notes=(
            f"{len(seen['none'].seconds)} pictures. PSNR against {STEPS} computed steps; "
            "fewer steps: as many without caching as take the same time.",
        ),
        plot=lambda path: _plot(path, seen, fewer),
    )


def _plot(path: Path, seen: dict[str, Seen], fewer: dict[str, tuple[int, Seen]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    points = sorted((gain(seen, name), statistics.mean(seen[name].psnr)) for name in fewer)
    axis.plot(*zip(*points, strict=True), marker="o", label="caching")
    instead = sorted({(STEPS / steps, statistics.mean(got.psnr)) for steps, got in fewer.values()})
    axis.plot(*zip(*instead, strict=True), marker="o", label="fewer steps")
    axis.set(xlabel="times faster", ylabel=f"PSNR against {STEPS} steps, dB")
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
