"""The platform's own added latency: a model that does nothing, through the durable queue and a worker's process."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.load import drive
from bench.report import Measured, Report, Row, main, percentile
from bench.servers import laterna, peer

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


def measure(quick: bool) -> Report:
    """One client, one request after another; blocks alternate with a server that keeps nothing."""
    blocks, requests = (4, 50) if quick else (10, 100)
    with tempfile.TemporaryDirectory() as folder:
        cards = Path(folder) / "cards"
        cards.mkdir()
        (cards / "blank.toml").write_text(CARD)
        with (
            laterna(Path(folder), "bench/blank", BODY) as ours,
            peer("peer", "bench.platform_peer", BODY) as theirs,
        ):
            seen: dict[str, list[float]] = {"laterna": [], "peer": []}
            for target in (ours, theirs):
                asyncio.run(drive(target, 1, 20))
            for _ in range(blocks):
                for target in (ours, theirs):
                    seen[target.name] += asyncio.run(drive(target, 1, requests)).latencies
    return _report(seen)


def _report(seen: dict[str, list[float]]) -> Report:
    ms = {name: [1000 * latency for latency in latencies] for name, latencies in seen.items()}
    rows: list[Row] = [
        (name, *(percentile(values, share) for share in (0.5, 0.95, 0.99))) for name, values in ms.items()
    ]
    p50 = {name: percentile(values, 0.5) for name, values in ms.items()}
    return Report(
        tables=(
            Measured(
                title="Latency of a model that does nothing, one client",
                columns=("server", "p50 ms", "p95 ms", "p99 ms"),
                rows=rows,
            ),
        ),
        figures={
            "added_ms_p50": p50["laterna"] - p50["peer"],
            "laterna_ms_p50": p50["laterna"],
            "peer_ms_p50": p50["peer"],
        },
        notes=("added_ms_p50 is Laterna's median less that of the server that keeps nothing.",),
        plot=lambda path: _plot(path, ms),
    )


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
