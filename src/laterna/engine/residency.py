"""Which models are in the device's memory: loaded when first needed, within a budget, the least valuable out first.

A model is worth the seconds that loading it took for each second since it was last used: cheap and forgotten ones go.
Refuses a model that would not fit even alone.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from laterna.clock import Clock
from laterna.contracts.fitting import misfit
from laterna.contracts.generation import ModelRef
from laterna.engine.memory import free_memory
from laterna.families.family import Family

Loader = Callable[[ModelRef], Family]
Widening = Callable[[ModelRef], int]


@dataclass(kw_only=True)
class Resident:
    family: Family
    load_s: float
    used_ns: int  # monotonic

    def value(self, now_ns: int) -> float:
        return self.load_s / max(1e-3, (now_ns - self.used_ns) / 1e9)


def _not_at_all(ref: ModelRef) -> int:
    return 1


class Residency:
    """The models in memory, by id and revision."""

    def __init__(self, load: Loader, budget_bytes: int, clock: Clock, widening: Widening = _not_at_all) -> None:
        """`widening`: how many times each model takes the 16 bits a number that its card counts with."""
        self._load = load
        self._widening = widening
        self._budget = budget_bytes
        self._clock = clock
        self._models: dict[str, Resident] = {}

    def names(self) -> list[str]:
        return sorted(self._models)

    def get(self, ref: ModelRef) -> Family | None:
        """The model, if it is in memory; using it makes it more valuable."""
        resident = self._models.get(ref.name)
        if resident is None:
            return None
        resident.used_ns = self._clock.monotonic_ns()
        return resident.family

    def load(self, ref: ModelRef, busy: Container[str]) -> Family | None:
        """Load the model, evicting others that are not `busy` (names); None while busy ones leave no room.

        Raises WeightsError: unreadable, unsafe, missing, or ModelTooLarge.
        """
        too_large = misfit(ref, self._budget, self._widening(ref))
        if too_large is not None:
            raise too_large
        if not self._make_room(ref.resident_bytes * self._widening(ref), busy):
            return None
        begun = self._clock.monotonic_ns()
        family = self._load(ref)
        now = self._clock.monotonic_ns()
        self._models[ref.name] = Resident(family=family, load_s=(now - begun) / 1e9, used_ns=now)
        return family

    def unload(self, busy: Container[str]) -> bool:
        """Let go of every model that is not `busy` (names); whether there was one."""
        idle = [name for name in self._models if name not in busy]
        for name in idle:
            del self._models[name]
        free_memory()
        return bool(idle)

    def _make_room(self, wanted: int, busy: Container[str]) -> bool:
        now = self._clock.monotonic_ns()
        idle = sorted((r.value(now), name) for name, r in self._models.items() if name not in busy)
        for _, name in idle:
            if self._used() + wanted <= self._budget:
                break
            del self._models[name]
            free_memory()
        return self._used() + wanted <= self._budget

    def _used(self) -> int:
        return sum(resident.family.resident_bytes for resident in self._models.values())
