"""Part of bench.serving: how much load each server holds when requests come whether or not it is ready for them.

Load 1.0 is what the one-at-a-time server could just do. A request's slowdown is its latency over the median latency of
its kind on the same server with nothing else to do. Both are measured anew before each load: a machine's speed changes.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bench.arrivals import Arrival, Mix, mean_seconds, poisson
from bench.load import replay, solo_seconds
from bench.report import Measured, Row, percentile
from bench.servers import Target

WANTED = 0.95  # of the requests within the limit
INTERACTIVE_LIMIT, ALL_LIMIT = 2.0, 5.0  # times the solo latency
AT_80, AT_95 = 0.8, 0.95  # loads at which latencies are compared, whatever is held


@dataclass(frozen=True, kw_only=True)
class Served:
    """One trace on one server."""

    arrivals: Sequence[Arrival]
    latencies: Sequence[float]  # seconds
    solo: Mapping[int, float]  # seconds, by steps

    def slowdowns(self, *, interactive_only: bool) -> list[float]:
        return [
            latency / self.solo[arrival.steps]
            for arrival, latency in zip(self.arrivals, self.latencies, strict=True)
            if arrival.interactive or not interactive_only
        ]

    def of(self, *, interactive: bool) -> list[float]:
        """Latencies of one sort of request."""
        pairs = zip(self.arrivals, self.latencies, strict=True)
        return [latency for arrival, latency in pairs if arrival.interactive == interactive]

    def share_within(self, limit: float, *, interactive_only: bool) -> float:
        slowdowns = self.slowdowns(interactive_only=interactive_only)
        return sum(slowdown <= limit for slowdown in slowdowns) / len(slowdowns)

    def holds_interactive(self) -> bool:
        return self.share_within(INTERACTIVE_LIMIT, interactive_only=True) >= WANTED

    def holds_all(self) -> bool:
        return self.share_within(ALL_LIMIT, interactive_only=False) >= WANTED


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    seen: Mapping[tuple[str, float], Served]  # by (server, load)

    @property
    def solo(self) -> dict[str, dict[int, float]]:
        """Seconds by server and steps: the median over the loads."""
        names = dict.fromkeys(name for name, _ in self.seen)
        return {name: self._alone([served.solo for _, served in self._of(name)]) for name in names}

    @staticmethod
    def _alone(solos: Sequence[Mapping[int, float]]) -> dict[int, float]:
        return {steps: statistics.median(solo[steps] for solo in solos) for steps in solos[0]}

    def interactive_load(self, name: str) -> float:
        """The largest load up to which 95 % of the interactive requests stay within twice their solo latency."""
        return self._held([(load, served.holds_interactive()) for load, served in self._of(name)])

    def all_load(self, name: str) -> float:
        return self._held([(load, served.holds_all()) for load, served in self._of(name)])

    def _of(self, name: str) -> list[tuple[float, Served]]:
        return sorted((load, served) for (server, load), served in self.seen.items() if server == name)

    @staticmethod
    def _held(loads: Sequence[tuple[float, bool]]) -> float:
        held = 0.0
        for load, holds in loads:
            if not holds:
                break
            held = load
        return held

    def table(self) -> Measured:
        rows: list[Row] = [
            (
                f"{load:g}",
                name,
                100 * served.share_within(INTERACTIVE_LIMIT, interactive_only=True),
                100 * served.share_within(ALL_LIMIT, interactive_only=False),
                percentile(served.of(interactive=True), 0.99),
                statistics.mean(served.of(interactive=False)),
            )
            for (name, load), served in sorted(self.seen.items(), key=lambda item: (item[0][1], item[0][0]))
        ]
        columns = ("load", "server", "interactive in 2x, %", "all in 5x, %", "interactive p99 s", "background mean s")
        return Measured(title="Open loop, Poisson arrivals", columns=columns, rows=rows)

    def solos(self) -> Measured:
        rows: list[Row] = [(name, *seconds.values()) for name, seconds in self.solo.items()]
        columns = ("server", *(f"{steps} steps" for steps in next(iter(self.solo.values()))))
        return Measured(title="Alone: median latency, s", columns=columns, rows=rows)

    def figures(self, ours: str, theirs: str, peers: Sequence[str]) -> dict[str, float]:
        """`theirs` serves one at a time; the best of `peers` is what the load held is compared with."""
        best = max(self.all_load(name) for name in peers)
        p99 = {name: percentile(self.seen[name, AT_80].of(interactive=True), 0.99) for name in (ours, theirs)}
        mean = {name: statistics.mean(self.seen[name, AT_95].of(interactive=False)) for name in (ours, theirs)}
        figures = {"interactive_load_2x": self.interactive_load(ours), "all_load_5x": self.all_load(ours)}
        if best:
            figures["all_load_5x_ratio"] = self.all_load(ours) / best
        figures["interactive_p99_ratio"] = p99[ours] / p99[theirs]
        figures["background_mean_ratio"] = mean[ours] / mean[theirs]
        for name in dict.fromkeys(name for name, _ in self.seen if name != ours):
            figures[f"interactive_load_2x_{name}"] = self.interactive_load(name)
            figures[f"all_load_5x_{name}"] = self.all_load(name)
        return figures

    def draw(self, axis: Axes) -> None:
        for name in self.solo:
            points = [
                (load, 100 * s.share_within(INTERACTIVE_LIMIT, interactive_only=True)) for load, s in self._of(name)
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.axhline(100 * WANTED, color="grey", linewidth=0.8, linestyle=":")
        axis.set(xlabel="load (1 = one at a time)", ylabel="interactive within 2x solo, %", ylim=(0, 102))


def open_loop(
    targets: Sequence[Target], theirs: Target, mix: Mix, loads: Sequence[float], count: int, alone: int
) -> OpenLoop:
    """Each load in turn on each server, with the same trace; a server that holds neither limit any more rests, except
    at the loads where all are compared. `alone`: requests of each kind that tell, before each load, how fast each
    server is with nothing else to do.
    """
    seen: dict[tuple[str, float], Served] = {}
    out: set[str] = set()
    for number, load in enumerate(sorted({*loads, AT_80, AT_95})):
        going = [target for target in targets if target.name not in out or load in (AT_80, AT_95)]
        asked = [target for target in targets if target in going or target is theirs]
        solo = {target.name: solo_seconds(target, mix, alone) for target in asked}
        arrivals = poisson(mix, load / mean_seconds(mix, solo[theirs.name]), count, seed=number)
        for target in going:
            block = asyncio.run(replay(target, arrivals))
            served = Served(arrivals=arrivals, latencies=block.latencies, solo=solo[target.name])
            seen[target.name, load] = served
            if not (served.holds_interactive() or served.holds_all()):
                out.add(target.name)
    return OpenLoop(seen=seen)
