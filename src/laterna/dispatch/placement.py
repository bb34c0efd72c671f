"""Which worker gets which of those that wait, and who makes room for them: decided at once for all workers.

A request goes where it will be begun soonest: to the least predicted work ahead of it, counting the load of a model
that is not there yet; a hint is worth some waiting. What fits no place that has room waits for one. Urgent work that
finds the windows full takes the place of less urgent work that has not begun, and comes on top where all of it has: the
worker pauses that. So does a tenant that finds them full of another's. Who has nothing to do gets some of what others
have not begun. Decides only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from laterna.contracts.generation import ModelRef
from laterna.dispatch.windows import WINDOW, Holding, Window

STICK_SECONDS = 10.0  # so much less work elsewhere is given up for the worker that a hint means
LOAD_SECONDS = 10.0  # that a model's load is taken to last: so much more work elsewhere is worth it


@dataclass(frozen=True, kw_only=True)
class Demand:
    """One that waits."""

    id: str
    tenant: str
    priority: int  # 0 realtime, 1 normal, 2 low
    model: ModelRef
    seconds: Callable[[str], float]  # predicted device time on a worker, by its name
    prefers: str | None = None  # a worker's name; absent: any is as good


@dataclass(kw_only=True)
class Placement:
    """What is to be done."""

    given: dict[str, list[str]] = field(default_factory=dict)  # worker -> ids, in order
    revoked: list[tuple[str, Holding]] = field(default_factory=list)  # worker, and what it must give back


def place(demands: Iterable[Demand], windows: Sequence[Window], rooms: Mapping[str, int] | None = None) -> Placement:
    """Choose for those that wait, given in the policy's order.

    Args:
        rooms: how many more of a tenant's may be leased; tenants without a limit are not named.
    """
    made, left = Placement(), dict(rooms or {})
    places = [_Place(window) for window in windows if window.ready]
    for demand in demands:
        able = [place for place in places if place.window.fits(demand.model)]
        if not able or left.get(demand.tenant, 1) <= 0:
            continue
        best = min(able, key=lambda place: place.wait_s(demand))
        if best.room or best.revoke(demand, made) or best.on_top(demand):
            made.given.setdefault(best.window.worker, []).append(demand.id)
            best.give(demand)
            if demand.tenant in left:
                left[demand.tenant] -= 1
        best.plan(demand)
    _share_out(places, made)
    return made


def _share_out(places: Sequence[_Place], made: Placement) -> None:
    """Have a worker that holds more than it has begun give something back where another has nothing to do."""
    for idle in places:
        if idle.window.held or idle.window.worker in made.given:
            continue
        for busy in sorted(places, key=lambda place: -place.window.backlog_s):
            spare = [held for held in busy.unbegun() if idle.sooner(held, busy)]
            if spare:
                made.revoked.append((busy.window.worker, spare[-1]))
                break


class _Place:
    """A window while it is being filled."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.room = window.room
        self._work_s = window.backlog_s
        self._models: set[str] = set()
        self._weakest = sorted(window.unbegun(), key=lambda held: (held.priority, held.left_s))
        self._of_tenant = Counter(held.tenant for held in self._weakest)
        self._of_class = Counter(held.priority for held in window.held.values())
        self._held_by = Counter(held.tenant for held in window.held.values())

    def wait_s(self, demand: Demand) -> float:
        """Until it would be begun; where a hint points elsewhere, what that is worth on top."""
        known = demand.model.name in self._models or self.window.knows(demand.model.name)
        stays = demand.prefers in (None, self.window.worker)
        return self._work_s + (0.0 if known else LOAD_SECONDS) + (0.0 if stays else STICK_SECONDS)

    def unbegun(self) -> Sequence[Holding]:
        """What it holds and has not begun with, the most urgent first."""
        return self._weakest

    def sooner(self, held: Holding, other: _Place) -> bool:
        """Whether what another holds would be done here before it is begun there."""
        return self.window.knows(held.model) and other.window.backlog_s - held.left_s > held.left_s

    def plan(self, demand: Demand) -> None:
        """It will be run here, now or when there is room."""
        self._models.add(demand.model.name)
        self._work_s += demand.seconds(self.window.worker)

    def give(self, demand: Demand) -> None:
        self.room = max(0, self.room - 1)
        self._of_tenant[demand.tenant] += 1
        self._of_class[demand.priority] += 1
        self._held_by[demand.tenant] += 1

    def on_top(self, demand: Demand) -> bool:
        """Whether it may be had beside work that fills the window and has begun: less urgent work, or that of other
        tenants while its own has less than an equal part of the places.
        """
        tenants = {demand.tenant, *(tenant for tenant, count in self._held_by.items() if count)}
        if self._held_by[demand.tenant] < WINDOW // len(tenants):
            return True
        return sum(count for priority, count in self._of_class.items() if priority <= demand.priority) < WINDOW

    def revoke(self, demand: Demand, made: Placement) -> bool:
        """Have the least urgent of what has not begun give up its place, if the demand may take it.

        It may if its class is higher; or if that is the same and its tenant, with it, still has fewer places than the
        other: so that no tenant fills a window against the others.
        """
        for held in reversed(self._weakest):
            fairer = self._of_tenant[demand.tenant] + 1 < self._of_tenant[held.tenant]
            if demand.priority < held.priority or (demand.priority == held.priority and fairer):
                self._weakest.remove(held)
                self._of_tenant[held.tenant] -= 1
                self._of_class[held.priority] -= 1
                self._held_by[held.tenant] -= 1
                self._work_s -= held.left_s
                self.room += 1
                made.revoked.append((self.window.worker, held))
                return True
        return False
