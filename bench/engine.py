"""The engine by itself: one denoising step against eager diffusers, what saturation reaches, what scheduling costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel

from bench.report import Measured, Report, Row, main
from bench.steps import (
    Curve,
    adapted,
    eager_sd15,
    eager_sprite,
    load_eager,
    load_sd15,
    load_sprite,
    noisy,
    shelve,
    sprite_jobs,
    step_sd15,
)
from laterna.clock import SystemClock
from laterna.contracts.generation import ModelRef, TextToImage, work_tokens
from laterna.contracts.messages import Assign, Lease, Observation, Progress
from laterna.engine.engine import Engine, Said
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.families.family import Family, Picture
from laterna.lora.shelf import Shelf
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Candidate, Policy, Shares

BATCHES = (1, 2, 4, 8, 16)
STEPS, PICTURES, WARMING = 20, 48, 32
QUEUED = 1000
PIXELS = 256  # along a side, of the SD 1.5 shape


def measure(quick: bool) -> Report:
    """Blocks of ours and theirs alternate."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder), 2**30)
        ref, family = load_sprite(shelf)
        eager = load_eager()
        blocks = 2 if quick else 7
        curves = _curves(family, eager, blocks)
        lora8 = _lora8(family, shelve(eager, shelf, 8), blocks)
    reached, allowed = _saturation(ref, family, pictures=16 if quick else PICTURES)
    ours, theirs = curves
    rows: list[Row] = [_row(f"sprite, batch {b}", ours[b], theirs[b]) for b in BATCHES]
    figures = {"step_ratio_sprite": theirs[1] / ours[1], "step_ms_sprite": 1000 * ours[1], "lora8_ratio": lora8}
    if not quick:
        network, untouched = load_sd15()
        seconds = _sides(step_sd15(network, PIXELS), eager_sd15(untouched, PIXELS), blocks=3, calls=1)
        rows.append(_row(f"SD 1.5 shape, {PIXELS} px", *seconds))
        figures["step_ratio_sd15"] = seconds[1] / seconds[0]
    figures |= {"saturation_ratio": reached / allowed, "scheduler_ms": _scheduling_ms(50 if quick else 500)}
    return Report(
        tables=(
            Measured(
                title="One denoising step", columns=("network", "ours ms", "eager diffusers ms", "ratio"), rows=rows
            ),
            Measured(
                title="Saturated engine, pictures per second",
                columns=("reached", "the cheapest calls allow"),
                rows=[(reached, allowed)],
            ),
        ),
        figures=figures,
        notes=(
            "lora8_ratio: a step of 8 samples with 8 different LoRAs of rank 16 over one of 8 with none.",
            f"scheduler_ms: planning one call and putting its members back, {QUEUED} samples queued.",
        ),
        plot=lambda path: _plot(path, ours, theirs),
    )


def _row(name: str, ours: float, theirs: float) -> Row:
    return (name, 1000 * ours, 1000 * theirs, theirs / ours)


def _curves(family: Family, eager: FluxTransformer2DModel, blocks: int) -> tuple[Curve, Curve]:
    """Median seconds of a step by batch size, each sample guided: ours and theirs."""
    ours, theirs = {}, {}
    for batch in BATCHES:
        samples = noisy(family, sprite_jobs(batch, STEPS))
        ours[batch], theirs[batch] = _sides(
            partial(family.denoise, samples), eager_sprite(eager, batch), blocks, calls=3
        )
    return ours, theirs


def _lora8(family: Family, digests: Sequence[str], blocks: int) -> float:
    jobs = sprite_jobs(len(digests), STEPS)
    with_loras, without = noisy(family, adapted(jobs, digests)), noisy(family, jobs)
    mixed, plain = _sides(partial(family.denoise, with_loras), partial(family.denoise, without), blocks, calls=3)
    return mixed / plain


def _sides(one: Callable[[], object], other: Callable[[], object], blocks: int, calls: int) -> tuple[float, float]:
    """Median seconds of each, in blocks that alternate."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(blocks):
        seconds[0].extend(timed(one, calls))
        seconds[1].extend(timed(other, calls))
    return statistics.median(seconds[0]), statistics.median(seconds[1])


@torch.inference_mode()
def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call, after one that does not count."""
    call()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds


class Listener:
    """Counts pictures and keeps what calls cost."""

    def __init__(self, costs: CostModel) -> None:
        self.pictures = 0
        self._costs = costs

    def say(self, message: Said) -> None: ...

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None: ...

    def complete(self, run: Run) -> None: ...

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        self.pictures += 1

    def observe(self, seen: Observation) -> None:
        self._costs.learn(seen)


def _saturation(ref: ModelRef, family: Family, pictures: int) -> tuple[float, float]:
    """Pictures per second with all of them queued at once, and what the costs of the best calls allow."""
    costs = CostModel()
    listener = Listener(costs)
    clock = SystemClock()
    engine = Engine(Residency(lambda _: family, 2**40, clock), Policy(clock, costs, Shares()), clock, listener)
    for count in (WARMING, pictures):  # the first lot teaches the cost model
        for order in _orders(ref, count):
            engine.submit(order)
        begun = time.perf_counter()
        while engine.turn():
            pass
        seconds = time.perf_counter() - begun
    return pictures / seconds, 1 / _cheapest(costs, ref)


def _cheapest(costs: CostModel, ref: ModelRef) -> float:
    """Device seconds of a picture whose every call is one of the cheapest batch size."""
    tokens = work_tokens(sprite_jobs(1, STEPS)[0])
    encode, denoise, decode = (
        min(costs.call_seconds(ref.name, stage, tokens, batch) / batch for batch in BATCHES)
        for stage in ("encode", "denoise", "decode")
    )
    return encode + STEPS * denoise + decode


def _orders(ref: ModelRef, count: int) -> list[Assign]:
    return [_order(ref, job, number) for number, job in enumerate(sprite_jobs(count, STEPS))]


def _order(ref: ModelRef, job: TextToImage, number: int) -> Assign:
    lease = Lease(request_id=f"{number}", token=f"{number}")
    return Assign(lease=lease, model=ref, generation=job, tenant="bench", priority=1, created_us=number)


def _scheduling_ms(calls: int) -> float:
    """Milliseconds of the policy's work for one call, with QUEUED samples of ten tenants waiting."""
    costs = CostModel()
    for batch in BATCHES:
        for _ in range(4):
            costs.learn(
                Observation(model="m", stage="denoise", tokens=32, batch=batch, device_ns=int(2e7 + 1e7 * batch))
            )
    policy = Policy(SystemClock(), costs, Shares())
    waiting = {number: _candidate(number) for number in range(QUEUED)}
    for candidate in waiting.values():
        policy.put(candidate)
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        plan = policy.plan()
        assert plan is not None
        for member in plan.members:
            policy.charge(waiting[int(str(member))].tenant, plan.predicted_s / len(plan.members))
            policy.put(waiting[int(str(member))])
        seconds.append(time.perf_counter() - begun)
    return 1000 * statistics.median(seconds)


def _candidate(number: int) -> Candidate:
    return Candidate(
        id=number,
        model="m",
        stage="denoise",
        group=None,
        tokens=32,
        steps_left=1 + number % 50,
        tenant=f"tenant {number % 10}",
        priority=1 + number % 2,
        created_us=time.time_ns() // 1000,
    )


def _plot(path: Path, ours: Curve, theirs: Curve) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, curve in (("laterna", ours), ("eager diffusers", theirs)):
        axis.plot(BATCHES, [1000 * curve[batch] / batch for batch in BATCHES], marker="o", label=name)
    axis.set(xlabel="samples in the step", ylabel="ms a sample", ylim=0)
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
