"""Who of those that wait is leased, and where: the policy's order above, the fleet's places below.

Remembers from one choice to the next what the policy remembers, and nothing else. Its neighbours are dispatch, which
carries the choice out, `placement`, which finds the places, and the estimates, by which both count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from laterna.catalog.catalog import Catalog
from laterna.clock import Clock
from laterna.contracts.generation import Generation, ModelRef, work_tokens
from laterna.dispatch.affinity import Affinity
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.placement import Demand, place
from laterna.dispatch.windows import Holding, Window
from laterna.errors import EndpointNotFound, LaternaError, MissingWeights
from laterna.requests.requests import Chosen, Leased, Waiting
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Candidate, Policy, Shares

Refusal = Callable[[ModelRef], LaternaError | None]


@dataclass(kw_only=True)
class Choice:
    """What dispatch is to do."""

    given: dict[str, list[Chosen]] = field(default_factory=dict)  # worker -> whom to lease to it, in order
    revoked: list[tuple[str, Holding]] = field(default_factory=list)  # worker, and what it must give back before
    hopeless: list[tuple[str, LaternaError]] = field(default_factory=list)  # ids that no worker can run, and why


class Choosing:
    """One for dispatch."""

    def __init__(self, catalog: Catalog, estimates: Estimates, clock: Clock, refusal: Refusal) -> None:
        """`refusal`: why no worker will ever run a model; None where one may."""
        self._catalog = catalog
        self._refusal = refusal
        self._estimates = estimates
        self._affinity = Affinity()
        self._policy = Policy(clock, CostModel(), Shares())

    def model(self, card_id: str) -> ModelRef:
        """Raises MissingWeights where there is no such card any more."""
        try:
            return self._catalog.card(card_id).ref()
        except EndpointNotFound as error:
            gone = f"model {card_id!r} is no longer served here; its card was removed"
            raise MissingWeights(gone) from error

    def holding(self, leased: Leased, worker: str) -> Holding:
        model = self.model(leased.card_id).name
        seconds = self._estimates.seconds(worker, model, leased.generation)
        return Holding(
            lease=leased.lease,
            tenant=leased.tenant,
            priority=leased.priority,
            model=model,
            created_us=leased.created_us,
            left_s=seconds,
            tells_logs=leased.tells_logs,
        )

    def choose(self, waiting: Iterable[Waiting], windows: Sequence[Window]) -> Choice:
        """Decide for a page of the queue. The policy charges whom it leased, as the store will."""
        made, demands = Choice(), dict[str, Demand]()
        rooms, hints = dict[str, int](), dict[str, str | None]()
        for one in waiting:
            if one.room == 0:
                continue  # its tenant runs as much as it may: until one ends it is as if it were not there
            if one.room is not None:
                rooms[one.tenant] = one.room
            try:
                demands[one.id] = self._demand(one)
            except LaternaError as error:
                made.hopeless.append((one.id, error))
            else:
                self._refresh(one, demands[one.id])
                hints[one.id] = one.runner_hint
        for candidate in self._policy.candidates():
            if candidate.id not in demands:
                self._policy.drop(candidate.id)
        placement = place((demands[str(candidate.id)] for candidate in self._policy.order()), windows, rooms)
        made.revoked = placement.revoked
        for worker, ids in placement.given.items():
            made.given[worker] = [self._leased(demands[id], worker) for id in ids]
            for id in ids:
                self._affinity.note(demands[id].tenant, hints.get(id), worker)
        return made

    def _demand(self, one: Waiting) -> Demand:
        model, job = self.model(one.card_id), one.generation
        if (refused := self._refusal(model)) is not None:
            raise refused
        return Demand(
            id=one.id,
            tenant=one.tenant,
            priority=one.priority,
            model=model,
            prefers=self._affinity.worker(one.tenant, one.runner_hint),
            seconds=lambda worker: 0.0 if job is None else self._estimates.seconds(worker, model.name, job),
        )

    def _refresh(self, one: Waiting, demand: Demand) -> None:
        if one.id not in self._policy:
            self._policy.put(_candidate(one, demand.model), self._typical(demand.model, one.generation))
        self._policy.share(one.tenant, one.weight, one.virtual_ns / 1e9)

    def _typical(self, model: ModelRef, job: Generation | None) -> float:
        return 0.0 if job is None else self._estimates.seconds("", model.name, job)

    def _leased(self, demand: Demand, worker: str) -> Chosen:
        seconds, virtual_s = demand.seconds(worker), self._policy.virtual(demand.tenant)
        self._policy.charge(demand.tenant, seconds)
        self._policy.drop(demand.id)
        return Chosen(id=demand.id, device_ns=round(seconds * 1e9), virtual_ns=round(virtual_s * 1e9))


def _candidate(one: Waiting, model: ModelRef) -> Candidate:
    job = one.generation
    return Candidate(
        id=one.id,
        model=model.name,
        stage="encode",
        group=None,
        tokens=1 if job is None else work_tokens(job),
        steps_left=0 if job is None else job.steps,
        samples=1 if job is None else job.count,
        adapters=job.count if job is not None and job.loras else 0,
        tenant=one.tenant,
        priority=one.priority,
        created_us=one.created_us,
        finish_by_us=one.finish_by_us,
    )
