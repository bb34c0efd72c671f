"""A run: one leased request on this engine, with its samples' progress, its device time and whether it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from laterna.contracts.messages import Assign, Spent
from laterna.engine.timeline import Timeline


@dataclass(kw_only=True, eq=False)
class Run:
    """Mutable, engine-owned. It ends once: finished or failed."""

    order: Assign
    begun_ns: int  # monotonic time at which its worker took it: what its timeline counts from
    pictures_left: int  # samples not decoded yet
    watched: bool = False  # whether somebody wants previews
    started_ns: int | None = None  # monotonic time of the first device call; absent before
    told_loading: bool = False  # whether its owner knows that the model is being loaded
    preview_ns: int = 0  # monotonic time of the last preview
    failed: bool = False  # whether its end was told
    spent: dict[str, list[int]] = field(default_factory=dict)  # stage -> [calls, device nanoseconds]
    timeline: Timeline = field(default_factory=Timeline)  # the calls that it was in, and what came before

    def charge(self, stage: str, device_ns: int) -> None:
        entry = self.spent.setdefault(stage, [0, 0])
        entry[0] += 1
        entry[1] += device_ns

    def bill(self) -> list[Spent]:
        return [Spent(stage=stage, calls=calls, device_ns=ns) for stage, (calls, ns) in self.spent.items()]
