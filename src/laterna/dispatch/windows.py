"""What each worker holds, as far as dispatch knows: a bounded window of leases, and what would fit its device.

Knows no store and sends nothing; its neighbours are dispatch, which fills windows, and `placement`, which chooses them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from laterna.contracts.fitting import misfit
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import Lease, Ready

WINDOW = 24  # requests that a worker may hold: enough to fill a batch and have the next ready


@dataclass(kw_only=True)
class Holding:
    """One lease in a worker's hands."""

    lease: Lease
    tenant: str
    priority: int  # 0 realtime, 1 normal, 2 low
    model: str  # name of its `ModelRef`
    created_us: int  # when the request was submitted
    left_s: float  # predicted device time still to come, run alone, as its worker said last
    touched: bool = False  # its worker began to load the model for it
    tells_logs: bool = False  # whether its webhook is told of what it logs
    begun_ns: int | None = None  # monotonic time of its first device call; absent before


@dataclass(kw_only=True)
class Window:
    """One worker's, through all its processes."""

    worker: str
    held: dict[str, Holding] = field(default_factory=dict)  # by token
    device: Ready | None = None  # what its latest process said of itself; absent until one did
    ready: bool = False  # whether a process works now
    resident: frozenset[str] = frozenset()  # models in its memory

    @property
    def room(self) -> int:
        return max(0, WINDOW - len(self.held)) if self.ready else 0

    @property
    def backlog_s(self) -> float:
        """Predicted device seconds of what it holds, run one by one."""
        return sum(holding.left_s for holding in self.held.values())

    def knows(self, model: str) -> bool:
        """Whether it has the model in memory, or will have for what it holds."""
        return model in self.resident or any(holding.model == model for holding in self.held.values())

    def fits(self, model: ModelRef) -> bool:
        """Whether the model could be in the device's memory, at least alone. False where nothing is known of it."""
        device = self.device
        return device is not None and misfit(model, device.memory_bytes, device.widens(model)) is None

    def unbegun(self) -> list[Holding]:
        """What it holds and has not begun with."""
        return [holding for holding in self.held.values() if holding.begun_ns is None and not holding.touched]
