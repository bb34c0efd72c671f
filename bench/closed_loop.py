"""Part of bench.serving: pictures per second and latency with 1, 4 and 16 clients that always want another picture."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bench.load import Block, drive
from bench.report import Measured, Row, percentile
from bench.servers import Target

CLIENTS = (1, 4, 16)


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """Blocks by (server, clients)."""

    seen: Mapping[tuple[str, int], Sequence[Block]]

    def rate(self, name: str, clients: int) -> float:
        """Pictures per second, the median of the blocks."""
        return statistics.median(len(block.latencies) / block.seconds for block in self.seen[name, clients])

    def latency(self, name: str, clients: int, share: float) -> float:
        latencies = [latency for block in self.seen[name, clients] for latency in block.latencies]
        return percentile(latencies, share)

    def table(self) -> Measured:
        rows: list[Row] = [
            (name, f"{clients}", self.rate(name, clients), *(self.latency(name, clients, at) for at in (0.5, 0.95)))
            for name, clients in sorted(self.seen, key=lambda key: (key[1], key[0]))
        ]
        return Measured(
            title="Closed loop: laterna/sprite through HTTP",
            columns=("server", "clients", "pictures/s", "p50 s", "p95 s"),
            rows=rows,
        )

    def figures(self, ours: str, theirs: str) -> dict[str, float]:
        figures = {f"pictures_per_s_{clients}": self.rate(ours, clients) for clients in CLIENTS}
        for clients in CLIENTS:
            figures[f"pictures_per_s_ratio_{clients}"] = self.rate(ours, clients) / self.rate(theirs, clients)
            figures[f"p95_ratio_{clients}"] = self.latency(ours, clients, 0.95) / self.latency(theirs, clients, 0.95)
        return figures

    def draw(self, axis: Axes) -> None:
        for name in dict.fromkeys(name for name, _ in self.seen):
            axis.plot(CLIENTS, [self.rate(name, clients) for clients in CLIENTS], marker="o", label=name)
        axis.set(xlabel="concurrent clients", ylabel="pictures per second", ylim=0)
        axis.set_xscale("log")
        axis.set_xticks(CLIENTS, [str(clients) for clients in CLIENTS])


def closed_loop(targets: Sequence[Target], blocks: int, a_client: int) -> ClosedLoop:
    """Blocks of the servers alternate; each client sends `a_client` requests in one."""
    seen: dict[tuple[str, int], list[Block]] = {(t.name, n): [] for n in CLIENTS for t in targets}
    for _ in range(blocks):
        for clients in CLIENTS:
            for target in targets:
                seen[target.name, clients].append(asyncio.run(drive(target, clients, max(2, clients * a_client))))
    return ClosedLoop(seen=seen)
