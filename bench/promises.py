"""What is promised to those who share a server, and what became of it: ETAs, fair shares, LoRAs that nobody waits for.

One server of ours with `laterna/sprite`; nothing to compare with, as no peer promises any of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from bench.arrivals import MIX, Arrival, Kind, Mix, mean_seconds, poisson
from bench.load import PRIORITY, drive, replay, solo_seconds
from bench.report import Measured, Report, Row, main, percentile
from bench.servers import Target, laterna
from bench.serving import BODY
from bench.steps import load_eager, write_adapter
from laterna.catalog.catalog import Catalog
from laterna.config import load
from laterna.scheduler.cost import CostModel
from laterna.simulation import history, trace
from laterna.simulation.results import ALL
from laterna.simulation.simulate import simulate
from laterna.simulation.trace import Asked

MODEL = "laterna/sprite"
LOAD = 0.8  # of the traces by which ETAs are judged; 1 is what one request after the other could just do
QUIET_LOAD = 0.25  # of the tenant that is flooded, of which half the device is plenty
FLOODING = 24  # requests that the other tenant always has in the queue
ADAPTERS = 8
QUIET: Mix = (Kind(steps=20, share=1.0, interactive=True),)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One prediction, and what became of it. Seconds from when it was told."""

    when: str  # submitted, or later
    interactive: bool
    predicted_s: float
    interval_s: tuple[float, float]  # which nine in ten are to be in
    took_s: float

    @property
    def inside(self) -> bool:
        return self.interval_s[0] <= self.took_s <= self.interval_s[1]


@dataclass(frozen=True, kw_only=True)
class Flooded:
    """A tenant's latencies beside another that floods the queue, in seconds."""

    latencies: Sequence[float]
    predicted: Sequence[float]  # by the simulation, alone on half a device


@dataclass(frozen=True, kw_only=True)
class FirstUse:
    """What a LoRA's first use costs, in seconds: each against the same one's next use."""

    added: Sequence[float]  # to the request that brings it
    neighbours: Sequence[float]  # to another that runs meanwhile


def measure(quick: bool) -> Report:
    """Predictions on one trace after another taught them; then a flood; then adapters that nobody has seen."""
    count = 12 if quick else 120
    mix = [replace(kind, steps=max(1, kind.steps // 4)) for kind in MIX] if quick else MIX
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        names = _adapters(data, 2 if quick else ADAPTERS)
        with laterna(data, MODEL, BODY) as target:
            asyncio.run(drive(target, 8, 8 if quick else 64))
            rate = LOAD / mean_seconds(mix, solo_seconds(target, mix, 3))
            asyncio.run(replay(target, poisson(mix, rate, count // 2, seed=1)))
            told = asyncio.run(_foretold(target, poisson(mix, rate, count, seed=2)))
            used = _first_use(target, names)
            flooded = _flood(target, data, 4 if quick else 60)
    return _report(told, flooded, used)


# ETAs.


async def _foretold(target: Target, arrivals: Sequence[Arrival]) -> list[Told]:
    """Each is asked about when it is submitted and at some moment of its life."""
    begun, dice = time.perf_counter(), random.Random(4)
    moments = [dice.random() for _ in arrivals]
    async with httpx2.AsyncClient(timeout=3600, trust_env=False, headers=target.headers) as http:

        async def one(arrival: Arrival, moment: float) -> list[Told]:
            await asyncio.sleep(begun + arrival.at_s - time.perf_counter())
            return await _asked(http, target, arrival, moment)

        told = await asyncio.gather(*map(one, arrivals, moments))
    return [prediction for some in told for prediction in some]


async def _asked(http: httpx2.AsyncClient, target: Target, arrival: Arrival, moment: float) -> list[Told]:
    """`moment`: when to ask again, as a share of the time that was predicted first."""
    queue = target.url.replace(f"/{MODEL}", f"/queue/{MODEL}")
    body = {**target.body, "sync_mode": False, "seed": arrival.seed, "num_inference_steps": arrival.steps}
    headers = {PRIORITY: "normal" if arrival.interactive else "low"}
    first = (await http.post(queue, json=body, headers=headers)).json()
    heard = [("submitted", time.perf_counter(), first)]
    await asyncio.sleep(moment * first["eta_seconds"])
    where = f"{queue}/requests/{first['request_id']}/status"
    heard.append(("later", time.perf_counter(), (await http.get(where)).json()))
    async with http.stream("GET", f"{where}/stream") as events:
        async for line in events.aiter_lines():
            if line.startswith("data:") and json.loads(line.removeprefix("data:"))["status"] == "COMPLETED":
                break
    ended = time.perf_counter()
    return [_told(when, at, answer, ended, arrival) for when, at, answer in heard if answer.get("eta_seconds")]


def _told(when: str, at: float, answer: dict[str, Any], ended: float, arrival: Arrival) -> Told:
    low, high = answer["eta_interval_seconds"]
    return Told(
        when=when,
        interactive=arrival.interactive,
        predicted_s=answer["eta_seconds"],
        interval_s=(low, high),
        took_s=ended - at,
    )


# A LoRA's first use.


def _adapters(data: Path, count: int) -> list[str]:
    """So many in the operator's folder; their names."""
    folder, transformer = load({"data": data}, {}).loras, load_eager()
    folder.mkdir(parents=True)
    names = [f"adapter-{number}" for number in range(count)]
    for number, name in enumerate(names):
        write_adapter(transformer, number, folder / f"{name}.safetensors")
    return names


def _first_use(target: Target, names: Sequence[str]) -> FirstUse:
    added, neighbours = list[float](), list[float]()
    for name in names:
        uses = [asyncio.run(_beside(target, name)) for _ in range(3)]
        added.append(uses[0][0] - statistics.mean(own for own, _ in uses[1:]))
        neighbours.append(uses[0][1] - statistics.mean(other for _, other in uses[1:]))
    return FirstUse(added=added, neighbours=neighbours)


async def _beside(target: Target, name: str) -> tuple[float, float]:
    """Seconds of a request with the adapter, and of a longer one without, in the midst of which it comes."""
    adapted = {**target.body, "num_inference_steps": 8, "loras": [{"path": f"laterna/{name}", "scale": 1.0}]}
    plain = replace(target, body={**target.body, "num_inference_steps": 28})
    other = asyncio.create_task(drive(plain, 1, 1))
    await asyncio.sleep(0.2)
    own = await drive(replace(target, body=adapted), 1, 1)
    return own.latencies[0], (await other).latencies[0]


# A flood.


def _flood(target: Target, data: Path, count: int) -> Flooded:
    rate = QUIET_LOAD / mean_seconds(QUIET, solo_seconds(target, QUIET, 3))
    arrivals = poisson(QUIET, rate, count, seed=3)
    flood = replace(target, headers=_tenant(target, "flood"), body={**BODY, "num_inference_steps": 50})
    latencies = asyncio.run(_flooded(target, flood, arrivals))
    return Flooded(latencies=latencies, predicted=_on_half(data, arrivals))


def _tenant(target: Target, name: str) -> dict[str, str]:
    """Another tenant's headers."""
    base = f"{target.url.removesuffix(MODEL)}platform/v1"
    with httpx2.Client(headers=target.headers, trust_env=False) as http:
        http.post(f"{base}/tenants", json={"name": name}).raise_for_status()
        made = http.post(f"{base}/keys?tenant_id={name}", json={"alias": name}).raise_for_status().json()
    return {"Authorization": f"Key {made['key']}"}


async def _flooded(target: Target, flood: Target, arrivals: Sequence[Arrival]) -> list[float]:
    """Latencies of the arrivals, from when the flood stands until they are done."""
    flooding = asyncio.create_task(drive(flood, FLOODING, 1_000_000))
    await asyncio.sleep(5.0)
    latencies = (await replay(target, arrivals)).latencies
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    return latencies


def _on_half(data: Path, arrivals: Sequence[Arrival]) -> list[float]:
    """What the simulation says of them alone, where every call takes twice as long."""
    name = Catalog.load(None).endpoint(MODEL)[0].ref().name
    [learned] = data.glob("costs-*.json")
    rows = json.loads(learned.read_text())
    for row in rows:
        row["seconds"] = [2 * seconds for seconds in row["seconds"]]
    (data / "half.json").write_text(json.dumps(rows))
    asked = [Asked(time_s=one.at_s, steps=one.steps, width=64, height=64, cfg_scale=2.0) for one in arrivals]
    predicted = simulate(
        trace.arrivals(asked, lambda _: name),
        {"cpu": CostModel.load(data / "half.json")},
        overheads=history.overheads(history.done(load({"data": data}, {}), most=history.LATEST)),
    )
    return list(predicted.classes[ALL].latencies_s)


def _report(told: Sequence[Told], flooded: Flooded, used: FirstUse) -> Report:
    groups = {
        f"{when}, {'interactive' if interactive else 'background'}": [
            one for one in told if (one.when, one.interactive) == (when, interactive)
        ]
        for when in ("submitted", "later")
        for interactive in (True, False)
    }
    rows: list[Row] = [(label, len(some), *_judged(some)) for label, some in groups.items() if some]
    inside, error, width = _judged(told)
    p99, fair = percentile(flooded.latencies, 0.99), percentile(flooded.predicted, 0.99)
    p50, fair_p50 = statistics.median(flooded.latencies), statistics.median(flooded.predicted)
    added, beside = 1000 * statistics.median(used.added), 1000 * statistics.median(used.neighbours)
    return Report(
        tables=(
            Measured(
                title=f"ETAs at load {LOAD:g}",
                columns=("told", "predictions", "within the interval, %", "median error, %", "width / time left, %"),
                rows=rows,
            ),
            Measured(
                title="Beside a tenant that floods the queue",
                columns=("", "p50 s", "p99 s"),
                rows=[("measured", p50, p99), ("alone on half a device, simulated", fair_p50, fair)],
            ),
            Measured(
                title="A LoRA's first use, over its next",
                columns=("", "median ms", "worst ms"),
                rows=[
                    ("to its request", added, 1000 * max(used.added)),
                    ("to its neighbour", beside, 1000 * max(used.neighbours)),
                ],
            ),
        ),
        figures={
            "eta_inside": inside / 100,
            "eta_median_error": error / 100,
            "eta_width_ratio": width / 100,
            "flood_p99_ratio": p99 / fair,
            "lora_first_ms": added,
            "lora_neighbour_ms": beside,
        },
        notes=("Intervals are to hold nine in ten. The fair share of one of two tenants is half of the device.",),
        plot=lambda path: _plot(path, told),
    )


def _judged(told: Sequence[Told]) -> tuple[float, float, float]:
    """In percent: how many came true, the median error, and the median width by the median time left."""
    inside = statistics.mean(one.inside for one in told)
    error = statistics.median(abs(one.predicted_s - one.took_s) / one.took_s for one in told)
    width = statistics.median(one.interval_s[1] - one.interval_s[0] for one in told)
    return 100 * inside, 100 * error, 100 * width / statistics.median(one.took_s for one in told)


def _plot(path: Path, told: Sequence[Told]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
    for label, interactive in (("interactive", True), ("background", False)):
        some = [one for one in told if one.interactive == interactive]
        bars = [
            [max(0.0, one.predicted_s - one.interval_s[0]) for one in some],
            [max(0.0, one.interval_s[1] - one.predicted_s) for one in some],
        ]
        axis.errorbar(
            [one.took_s for one in some],
            [one.predicted_s for one in some],
            yerr=bars,
            fmt="o",
            markersize=3,
            linewidth=0.6,
            label=label,
        )
    most = max(one.took_s for one in told)
    axis.plot([0, most], [0, most], color="grey", linewidth=0.8, linestyle=":")
    axis.set(xlabel="took, s", ylabel="predicted, s, with the interval")
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
