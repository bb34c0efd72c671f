"""Hours of load: does memory stay flat, and latency where it was? SOAK_MINUTES of it, at 70 % of what the server does.

A model that does nothing, through the durable queue and a worker's process; every second picture is stored as a file.
Beside the plot, the windows are written as CSV.
"""

from __future__ import annotations

import asyncio
import csv
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import httpx2
import psutil

from bench.load import drive
from bench.platform import BODY, CARD
from bench.report import Measured, Report, main, percentile
from bench.servers import Target, laterna
from laterna.config import load
from laterna.server.address import read_address

LOAD = 0.7  # of the rate at which eight clients are served that never rest
WINDOWS = 60  # at most, and none shorter than this many seconds:
SHORTEST = 5.0
WARM_UP = 0.25  # of the windows, which do not count: caches fill, and the allocator finds its size


@dataclass(frozen=True, kw_only=True)
class Window:
    """One part of the run."""

    ends_s: float  # since the load began
    requests: int  # that ended in it
    failed: int  # of them, with another status than 200
    p50_ms: float
    p99_ms: float
    server_mb: float  # resident memory at its end
    worker_mb: float


def measure(quick: bool) -> Report:
    """Poisson arrivals at 70 % load; memory and latency, window by window."""
    minutes = float(os.environ.get("SOAK_MINUTES", "1" if quick else "60"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cards").mkdir()
        (Path(folder) / "cards" / "blank.toml").write_text(CARD)
        with laterna(Path(folder), "bench/blank", BODY) as target:
            asyncio.run(drive(target, 8, 200))
            block = asyncio.run(drive(target, 8, 200 if quick else 2000))
            rate = LOAD * len(block.latencies) / block.seconds
            windows = asyncio.run(_soak(target, _processes(Path(folder)), rate, 60 * minutes))
    return _report(windows, rate)


def _processes(data: Path) -> tuple[psutil.Process, psutil.Process]:
    """The server and its worker."""
    address = read_address(load({"data": data}, {}).address_file)
    assert address is not None
    server = psutil.Process(address.pid)
    worker = next(child for child in server.children() if "laterna.worker" in child.cmdline())
    return server, worker


async def _soak(
    target: Target, processes: tuple[psutil.Process, psutil.Process], rate: float, seconds: float
) -> list[Window]:
    dice, length = random.Random(1), max(SHORTEST, seconds / WINDOWS)
    ended: list[tuple[float, bool]] = []  # seconds and whether it went well, of the present window
    windows: list[Window] = []
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx2.AsyncClient(timeout=120, trust_env=False, limits=limits) as http, asyncio.TaskGroup() as going:

        async def one(number: int) -> None:
            begun = time.perf_counter()
            body = {**target.body, "seed": number, "sync_mode": number % 2 == 0}
            answer = await http.post(target.url, json=body, headers=target.headers)
            ended.append((time.perf_counter() - begun, answer.status_code == 200))

        begun = due = time.perf_counter()
        number = 0
        while due < begun + seconds:
            due += dice.expovariate(rate)
            number += 1
            await asyncio.sleep(due - time.perf_counter())
            going.create_task(one(number))
            if time.perf_counter() >= begun + length * (len(windows) + 1) and ended:
                windows.append(_window(time.perf_counter() - begun, ended, processes))
                ended.clear()
    return windows


def _window(
    ends_s: float, ended: Sequence[tuple[float, bool]], processes: tuple[psutil.Process, psutil.Process]
) -> Window:
    ms = [1000 * seconds for seconds, _ in ended]
    server, worker = (process.memory_info().rss / 1e6 for process in processes)
    return Window(
        ends_s=ends_s,
        requests=len(ended),
        failed=sum(not well for _, well in ended),
        p50_ms=percentile(ms, 0.5),
        p99_ms=percentile(ms, 0.99),
        server_mb=server,
        worker_mb=worker,
    )


def drift(values: Sequence[float]) -> float:
    """By how much the last third lies above the first, both by their median, as a share of the first."""
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return last / first - 1


def _report(windows: list[Window], rate: float) -> Report:
    warm = windows[int(len(windows) * WARM_UP) :]
    figures = {
        "server_drift_percent": 100 * drift([one.server_mb for one in warm]),
        "worker_drift_percent": 100 * drift([one.worker_mb for one in warm]),
        "p99_drift_percent": 100 * drift([one.p99_ms for one in warm]),
        "failed": float(sum(one.failed for one in windows)),
        "requests": float(sum(one.requests for one in windows)),
        "requests_per_s": rate,
    }
    return Report(
        tables=(
            Measured(
                title=f"{windows[-1].ends_s / 60:.0f} minutes at {rate:.0f} requests a second",
                columns=tuple(field.name for field in fields(Window)),
                rows=[astuple(one) for one in windows],
            ),
        ),
        figures=figures,
        notes=(f"Drifts: the last third against the first, without the first {100 * WARM_UP:.0f} %.",),
        plot=lambda path: _draw(path, windows),
    )


def _draw(path: Path, windows: list[Window]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with path.with_suffix(".csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([field.name for field in fields(Window)])
        table.writerows([astuple(one) for one in windows])
    figure, (memory, latency) = plt.subplots(2, 1, figsize=(6, 5), sharex=True, layout="constrained")
    minutes = [one.ends_s / 60 for one in windows]
    memory.plot(minutes, [one.server_mb for one in windows], label="server")
    memory.plot(minutes, [one.worker_mb for one in windows], label="worker")
    memory.set(ylabel="resident memory, MB", ylim=0)
    latency.plot(minutes, [one.p50_ms for one in windows], label="p50")
    latency.plot(minutes, [one.p99_ms for one in windows], label="p99")
    latency.set(xlabel="minutes", ylabel="latency, ms", ylim=0)
    for axis in (memory, latency):
        axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
