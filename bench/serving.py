"""Pictures per second and latency of `laterna/sprite` through HTTP, against a diffusers pipeline behind FastAPI."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from bench.load import Block, drive
from bench.report import Report, main, percentile
from bench.servers import free_port, laterna, peer

BODY: dict[str, object] = {
    "prompt": "a red fox on a teal background",
    "guidance_scale": 2.0,
    "sync_mode": True,
}
CLIENTS = (1, 4, 16)


def measure(quick: bool) -> Report:
    """Closed loop of 1, 4 and 16 clients; blocks of both servers alternate; same weights, steps and guidance."""
    body = {**BODY, "num_inference_steps": 10 if quick else 20}
    blocks, a_client, warming = (1, 1, 2) if quick else (3, 3, 32)
    with (
        tempfile.TemporaryDirectory() as folder,
        laterna(Path(folder), "laterna/sprite", body) as ours,
        peer("bench.serving_peer", free_port(), body) as theirs,
    ):
        targets = (ours, theirs)
        for target in targets:
            asyncio.run(drive(target, 16, warming))  # loads the model, learns the costs
        seen: dict[tuple[str, int], list[Block]] = {(t.name, n): [] for t in targets for n in CLIENTS}
        for _ in range(blocks):
            for clients in CLIENTS:
                for target in targets:
                    count = max(2, clients * a_client)
                    seen[target.name, clients].append(asyncio.run(drive(target, clients, count)))
    return _report(seen, body)


def _report(seen: dict[tuple[str, int], list[Block]], body: dict[str, object]) -> Report:
    rows: list[tuple[str | float, ...]] = []
    rate: dict[tuple[str, int], float] = {}
    p95: dict[tuple[str, int], float] = {}
    for (name, clients), blocks in sorted(seen.items(), key=lambda item: (item[0][1], item[0][0])):
        latencies = [latency for block in blocks for latency in block.latencies]
        rate[name, clients] = statistics.median(len(block.latencies) / block.seconds for block in blocks)
        p95[name, clients] = percentile(latencies, 0.95)
        rows.append((name, f"{clients}", rate[name, clients], percentile(latencies, 0.5), p95[name, clients]))
    figures = {f"pictures_per_s_{clients}": rate["laterna", clients] for clients in CLIENTS}
    for clients in CLIENTS:
        figures[f"pictures_per_s_ratio_{clients}"] = rate["laterna", clients] / rate["peer", clients]
        figures[f"p95_ratio_{clients}"] = p95["laterna", clients] / p95["peer", clients]
    return Report(
        title="laterna/sprite through HTTP",
        columns=("server", "clients", "pictures/s", "p50 s", "p95 s"),
        rows=rows,
        figures=figures,
        notes=(
            f"{body['num_inference_steps']} steps a picture, {sum(len(b) for b in seen.values())} blocks.",
            "Ratios are Laterna's figure over the peer's: pictures/s higher is better, p95 lower is better.",
        ),
        plot=lambda path: _plot(path, rate, p95),
    )


def _plot(path: Path, rate: dict[tuple[str, int], float], p95: dict[tuple[str, int], float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, values, label in ((axes[0], rate, "pictures per second"), (axes[1], p95, "p95 latency, s")):
        for name in ("laterna", "peer"):
            axis.plot(CLIENTS, [values[name, clients] for clients in CLIENTS], marker="o", label=name)
        axis.set(xlabel="concurrent clients", ylabel=label, xscale="log", xticks=CLIENTS, xticklabels=CLIENTS, ylim=0)
        axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
