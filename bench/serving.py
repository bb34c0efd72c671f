"""Pictures per second, latency and load held of `laterna/sprite` through HTTP.

Side by side on the same weights, machine and arrivals: a diffusers pipeline one at a time, the same pipeline with
dynamic batching of whole requests, Laterna's engine first come first served, and Laterna.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.arrivals import MIX
from bench.closed_loop import ClosedLoop, closed_loop
from bench.load import drive
from bench.open_loop import OpenLoop, open_loop
from bench.report import Report, main
from bench.servers import laterna, peer

BODY: dict[str, object] = {
    "prompt": "a red fox on a teal background",
    "guidance_scale": 2.0,
    "num_inference_steps": 20,
    "sync_mode": True,
}
OURS, ONE, BATCHING, FIRST_COME = "laterna", "one_at_a_time", "request_batching", "first_come"
LOADS = (0.4, 0.7, 1.2, 1.6, 2.0)


def measure(quick: bool) -> Report:
    """Closed and open loops; the servers take turns."""
    body = {**BODY, "num_inference_steps": 6} if quick else BODY
    mix = [replace(kind, steps=max(1, kind.steps // 4)) for kind in MIX] if quick else MIX
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        servers = [laterna(Path(folder), "laterna/sprite", body), peer(ONE, "bench.serving_peer", body)]
        if not quick:
            servers.append(peer(BATCHING, "bench.serving_batching", body))
            servers.append(peer(FIRST_COME, "bench.serving_first_come", body))
        targets = [running.enter_context(server) for server in servers]
        ours, one = targets[:2]
        for target in targets:
            asyncio.run(drive(target, 16, 2 if quick else 32))  # loads the model, learns the costs
        closed = closed_loop([ours, one], blocks=1 if quick else 3, a_client=1 if quick else 3)
        opened = open_loop(
            targets, one, mix, loads=() if quick else LOADS, count=8 if quick else 60, alone=1 if quick else 3
        )
    return _report(closed, opened, "quick: a quarter of the steps, no other peers." if quick else "")


def _report(closed: ClosedLoop, opened: OpenLoop, remark: str) -> Report:
    return Report(
        tables=(closed.table(), opened.solos(), opened.table()),
        figures={
            **closed.figures(OURS, ONE),
            **opened.figures(OURS, ONE, [name for name in (ONE, BATCHING) if name in opened.solo]),
        },
        notes=(
            f"Load 1 is what one at a time can just do. {remark}",
            "Ratios are Laterna's figure over that of one at a time: pictures/s and load held, higher is better;",
            "latencies, lower is better. all_load_5x_ratio is over the best peer; first_come is no peer.",
        ),
        plot=lambda path: _plot(path, closed, opened),
    )


def _plot(path: Path, closed: ClosedLoop, opened: OpenLoop) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    closed.draw(axes[0])
    opened.draw(axes[1])
    for axis in axes:
        axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
