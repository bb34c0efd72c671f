"""The policy: which samples share the next device call, and why.

Classes realtime, normal and low come first, with ageing, so that low work is delayed and never starved; inside a class
the tenant that had the least device time for its weight; inside a tenant the sample with the least predicted seconds
left; then the older one. The leader's call is filled with every sample that may share it, in the same order, up to the
knee of the cost model. Decides only: it owns no sample, touches no device and never sleeps.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from laterna.clock import Clock
from laterna.scheduler.cost import CostModel

AGEING_SECONDS = 30.0  # of waiting lift a request by one priority class


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the policy knows of one sample that could be run now."""

    id: Hashable  # the engine's handle
    model: str
    stage: str  # encode, denoise or decode: the stage that it needs next
    group: Hashable  # samples of one model and stage with equal groups may share a call
    tokens: int  # work of one call for it
    steps_left: int  # denoising steps to go
    tenant: str
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int
    finish_by_us: int | None = None  # explicit deadline; absent when there is none


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """One device call: who, what and why."""

    model: str
    stage: str
    members: tuple[Hashable, ...]  # the leader first
    tokens: int  # per member
    predicted_s: float
    reason: str  # for logs and timelines


class Shares:
    """Device seconds that each tenant had, divided by its weight: the virtual time of weighted fair sharing."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = dict(weights or {})
        self._spent: dict[str, float] = {}

    def spend(self, tenant: str, seconds: float) -> None:
        self._spent[tenant] = self.spent(tenant) + seconds / self._weights.get(tenant, 1.0)

    def spent(self, tenant: str) -> float:
        """A tenant seen for the first time starts level with the least served: no credit for having been away."""
        return self._spent.setdefault(tenant, min(self._spent.values(), default=0.0))


class Policy:
    """Orders and groups candidates by the clock, the costs and the shares that it was given."""

    def __init__(self, clock: Clock, costs: CostModel, shares: Shares) -> None:
        self._clock = clock
        self._costs = costs
        self._shares = shares

    def plan(self, candidates: Sequence[Candidate]) -> StepPlan | None:
        """The next call, or None when there is nothing to run."""
        if not candidates:
            return None
        ordered = sorted(candidates, key=self._rank)
        leader = self._joiner(ordered) or ordered[0]
        knee = self._costs.knee(leader.model, leader.stage, leader.tokens)
        members = [c for c in ordered if _shares_call(c, leader)][:knee]
        if leader not in members:
            members = [leader, *members[: knee - 1]]
        return StepPlan(
            model=leader.model,
            stage=leader.stage,
            members=tuple(member.id for member in members),
            tokens=leader.tokens,
            predicted_s=self._costs.call_seconds(leader.model, leader.stage, leader.tokens, len(members)),
            reason=f"leader {leader.id}, {len(members)} of at most {knee}",
        )

    def charge(self, tenant: str, seconds: float) -> None:
        """Count device seconds against the tenant's share."""
        self._shares.spend(tenant, seconds)

    def _joiner(self, ordered: Sequence[Candidate]) -> Candidate | None:
        """A newcomer to encode first, if it could then share the denoising call that is about to run."""
        leader = ordered[0]
        if leader.stage != "denoise":
            return None
        running = sum(_shares_call(c, leader) for c in ordered)
        if running >= self._costs.knee(leader.model, "denoise", leader.tokens):
            return None
        return next((c for c in ordered if c.model == leader.model and c.stage == "encode"), None)

    def _rank(self, candidate: Candidate) -> tuple[float, float, float, float, int]:
        waited = (self._clock.now_us() - candidate.created_us) / 1e6
        rank_class = max(0, candidate.priority - int(waited / AGEING_SECONDS))
        left = self.seconds_left(candidate)
        deadline = candidate.finish_by_us if candidate.finish_by_us is not None else float("inf")
        return (rank_class, self._shares.spent(candidate.tenant), left, deadline, candidate.created_us)

    def seconds_left(self, candidate: Candidate) -> float:
        """Predicted device seconds until the sample is decoded, run alone."""
        costs, model, tokens = self._costs, candidate.model, candidate.tokens
        seconds = costs.call_seconds(model, "decode", tokens, 1)
        if candidate.stage == "encode":
            seconds += costs.call_seconds(model, "encode", tokens, 1)
        return seconds + candidate.steps_left * costs.call_seconds(model, "denoise", tokens, 1)


def _shares_call(one: Candidate, other: Candidate) -> bool:
    return (one.model, one.stage, one.group) == (other.model, other.stage, other.group)
