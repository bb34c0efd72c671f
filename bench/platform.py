"""The platform by itself: a model that does nothing, through the durable queue and a worker's process.

Beside it servers of models that keep nothing: FastAPI with the model in its own process, LitServe, BentoML.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.load import Block, drive
from bench.report import Measured, Report, Row, main, percentile
from bench.servers import apart, laterna, peer

BODY: dict[str, object] = {"prompt": "nothing", "sync_mode": True, "num_inference_steps": 1}
CARD = """
id = "bench/blank"
name = "Blank"
description = "Does nothing, for benchmarks."
family = "blank"
weights = "builtin:none"
revision = "1"
licence = "Apache-2.0"
resident_bytes = 1
[settings]
sampler = "euler"
guidance = "none"
[price]
unit = "image"
nano = 0
currency = "USD"
[[endpoints]]
contract = "sprite.text_to_image"
category = "text-to-image"
"""


CLIENTS = 16  # of the blocks by which throughput is measured
BENTOML = ("bentoml==1.4.39", "pillow")
OURS, BARE = "laterna", "fastapi"


def measure(quick: bool) -> Report:
    """One client for the latency, many for the throughput; blocks of the servers alternate."""
    blocks, alone, together = (2, 50, 200) if quick else (10, 100, 500)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        cards = Path(folder) / "cards"
        cards.mkdir()
        (cards / "blank.toml").write_text(CARD)
        servers = [
            laterna(Path(folder), "bench/blank", BODY),
            peer(BARE, "bench.platform_peer", BODY),
            peer("litserve", "bench.platform_litserve", BODY),
            apart("bentoml", Path(__file__).parent / "apart" / "blank_bentoml.py", BENTOML, BODY),
        ]
        targets = [running.enter_context(server) for server in servers]
        seen: dict[str, list[Block]] = {target.name: [] for target in targets}
        busy: dict[str, list[Block]] = {target.name: [] for target in targets}
        flushes = list[float]()
        for target in targets:
            asyncio.run(drive(target, CLIENTS, 10 * CLIENTS))
        for _ in range(blocks):
            flushes += _flush(Path(folder), 20)
            for target in targets:
                seen[target.name].append(asyncio.run(drive(target, 1, alone)))
                busy[target.name].append(asyncio.run(drive(target, CLIENTS, together)))
    return _report(seen, busy, 1000 * statistics.median(flushes))


def _flush(folder: Path, times: int) -> list[float]:
    """Seconds that the disk takes for what a commit writes."""
    took = list[float]()
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    return took


def _report(seen: Mapping[str, list[Block]], busy: Mapping[str, list[Block]], flush_ms: float) -> Report:
    ms = {name: _ms(blocks) for name, blocks in seen.items()}
    p50 = {name: percentile(values, 0.5) for name, values in ms.items()}
    rate = {name: statistics.median(len(b.latencies) / b.seconds for b in blocks) for name, blocks in busy.items()}
    alone: list[Row] = [(name, *(percentile(values, at) for at in (0.5, 0.95, 0.99))) for name, values in ms.items()]
    together: list[Row] = [
        (name, rate[name], *(percentile(_ms(blocks), at) for at in (0.5, 0.99))) for name, blocks in busy.items()
    ]
    added = p50[OURS] - p50[BARE]
    best = max(rate[name] for name in ("litserve", "bentoml"))
    return Report(
        tables=(
            Measured(title="One client", columns=("server", "p50 ms", "p95 ms", "p99 ms"), rows=alone),
            Measured(title=f"{CLIENTS} clients", columns=("server", "requests/s", "p50 ms", "p99 ms"), rows=together),
        ),
        figures={
            "added_ms_p50": added,
            "flush_ms_p50": flush_ms,
            "added_beyond_two_flushes_ms_p50": added - 2 * flush_ms,
            "laterna_ms_p50": p50[OURS],
            "peer_ms_p50": p50[BARE],
            "requests_per_s": rate[OURS],
            "requests_per_s_ratio": rate[OURS] / best,
        },
        notes=(
            "Laterna keeps every request on disk before it answers, and runs it in a worker under a lease; the others "
            "keep nothing.",
            "added_ms_p50 is Laterna's median less that of the smallest FastAPI server, with one client; "
            "requests_per_s_ratio is over the better of LitServe and BentoML.",
        ),
        plot=lambda path: _plot(path, ms),
    )


def _ms(blocks: list[Block]) -> list[float]:
    return [1000 * latency for block in blocks for latency in block.latencies]


def _plot(path: Path, ms: dict[str, list[float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, values in ms.items():
        axis.ecdf(values, label=name)
    axis.set(xlabel="latency, ms", ylabel="share of requests", xscale="log")
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
