"""The policy: which candidates share the next device call, and who is leased next. One for dispatch and engine.

Classes realtime, normal and low come first; inside a class the tenant that had the least device time for its weight;
inside a tenant what has the least predicted seconds left (`Ranking`). Whoever waits long is not starved: a tenth of the
device goes to the oldest, whatever its class and size. The leader's call is filled with those that may share it for as
long as a further member costs the others less than it saves those that wait, and other tenants' samples slow its own no
more than its share of the device does. Decides only: it owns no sample, touches no device and never sleeps.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from laterna.clock import Clock
from laterna.scheduler.cost import CostModel
from laterna.scheduler.ranking import Candidate, Entry, Ranking, entry
from laterna.scheduler.shares import Shares

__all__ = ["Candidate", "Policy", "Shares", "StepPlan", "paying"]

AGED_SECONDS = 30.0  # of waiting, after which the oldest has a claim
AGED_SHARE = 0.1  # of the device, which the oldest may claim
LARGEST_BATCH = 16
URGENCY = (16.0, 4.0, 1.0)  # of classes: what a second of waiting counts, for each second that a request takes
LEAST_SECONDS = 1e-3  # that a request is taken to take
GAIN = 0.97  # a member pays if it costs at most so much of what it would cost alone: less is noise
TOGETHER = 1.05  # the same of one whose request is in the call already: only what is surely dearer is parted

Group = tuple[str, str, Hashable]  # model, stage, group: who may share a call


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """One device call: who, what and why."""

    model: str
    stage: str
    members: tuple[Hashable, ...]  # the leader first
    tokens: int  # per member, on average
    predicted_s: float
    reason: str  # for logs and timelines


class Policy:
    """Orders and groups candidates by the clock, the costs and the shares that it was given. Not thread-safe."""

    def __init__(self, clock: Clock, costs: CostModel, shares: Shares) -> None:
        self._clock = clock
        self._costs = costs
        self._shares = shares
        self._all = Ranking(shares)
        self._groups: dict[Group, Ranking] = {}
        self._limits: dict[Group, int] = {}  # samples that the device's memory holds; absent: no limit known
        self._entries: dict[Hashable, Entry] = {}
        self._ages: list[tuple[int, int, Hashable]] = []  # time of submission, serial number, id
        self._of_tenant: dict[str, int] = {}  # candidates
        self._serial = 0
        self._of_request: Counter[Hashable] = Counter()  # candidates
        self._urgency = 0.0  # of all candidates
        self._owed_s = 0.0  # device seconds that the oldest may claim
        self._owed_us = 0  # when they were last counted
        self._favoured: Hashable = None  # who claims them; absent: nobody
        self._claim_s = 0.0  # that the claim takes of them
        self._last_stage = ""  # of the latest call planned

    def put(self, candidate: Candidate, left_s: float | None = None) -> None:
        """It may be run now; or what it needs next has changed.

        Args:
            left_s: predicted device seconds until it is done; absent: by the policy's own costs.
        """
        left = self.seconds_left(candidate) if left_s is None else left_s
        urgency = URGENCY[candidate.priority] / max(self._whole(candidate), LEAST_SECONDS)
        if candidate.id in self._entries:
            self._repaid(candidate.id)
            self._remove(candidate.id)
        else:
            self._arrived(candidate.tenant)
        self._serial += 1
        new = entry(candidate, left, self._serial, urgency)
        self._entries[candidate.id] = new
        self._of_request[_request(candidate)] += 1
        self._urgency += urgency
        self._all.put(new)
        self._groups.setdefault(_group(candidate), Ranking(self._shares)).put(new)
        insort(self._ages, (candidate.created_us, self._serial, candidate.id))

    def drop(self, id: Hashable) -> None:
        """It is over, or somebody else's. An unknown one is ignored."""
        old = self._entries.get(id)
        if old is None:
            return
        self._repaid(id)
        self._remove(id)
        del self._entries[id]
        tenant = old.candidate.tenant
        if self._shares.count(tenant):
            self._moved(tenant)
        self._of_tenant[tenant] -= 1
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
            self._shares.leave(tenant)

    def candidates(self) -> list[Candidate]:
        """All of them, in no order."""
        return [found.candidate for found in self._entries.values()]

    def __contains__(self, id: Hashable) -> bool:
        return id in self._entries

    def limit(self, like: Candidate, batch: int) -> None:
        """A call of more such candidates than `batch` is too much for the device's memory."""
        self._limits[_group(like)] = batch

    def weigh(self, tenant: str, weight: float) -> None:
        """A tenant's share against others'."""
        self._shares.weigh(tenant, weight)

    def share(self, tenant: str, weight: float, virtual_s: float) -> None:
        """What the store says of a tenant: its weight, and its virtual time in seconds."""
        self._shares.weigh(tenant, weight)
        if self._shares.set(tenant, virtual_s):
            self._moved(tenant)

    def virtual(self, tenant: str) -> float:
        """The tenant's virtual time in seconds."""
        return self._shares.virtual(tenant)

    def charge(self, tenant: str, seconds: float) -> None:
        """Count device seconds against the tenant's share."""
        if self._shares.spend(tenant, seconds):
            self._moved(tenant)

    def order(self) -> Iterator[Candidate]:
        """All candidates, who comes first first; lazily."""
        claims = self._claimant(lambda aged: aged.left_s)
        if claims is not None:
            yield claims.candidate
        for found in self._all:
            if found is not claims:
                yield found.candidate

    def plan(self, blocked: Container[str] = frozenset()) -> StepPlan | None:
        """The next call, or None when there is nothing to run.

        Args:
            blocked: models that wait for room. While there are any, others finish what they began and begin nothing.
        """
        leader = self._leader(blocked)
        if leader is None:
            return None
        self._last_stage = leader.stage
        members = self._members(leader)
        tokens = sum(member.tokens for member in members) // len(members)
        seconds = self._seconds(leader, tokens)(len(members))
        if leader.id == self._favoured:  # its own tenant's company of that class comes out of turn with it
            alike = sum((member.tenant, member.priority) == (leader.tenant, leader.priority) for member in members)
            self._claim_s = max(self._claim_s, seconds * alike / len(members))
        return StepPlan(
            model=leader.model,
            stage=leader.stage,
            members=tuple(member.id for member in members),
            tokens=tokens,
            predicted_s=seconds,
            reason=f"leader {leader.id}, {len(members)} of {len(self._groups[_group(leader)])} that may share the call",
        )

    def seconds_left(self, candidate: Candidate) -> float:
        """Predicted device seconds until it is done, run alone."""
        return self._predicted(candidate, candidate.stage == "encode", candidate.steps_left)

    def _whole(self, candidate: Candidate) -> float:
        """Predicted device seconds of all of it."""
        return self._predicted(candidate, True, max(candidate.steps, candidate.steps_left))

    def _predicted(self, candidate: Candidate, encode: bool, steps: int) -> float:
        costs, model, tokens = self._costs, candidate.model, candidate.tokens
        seconds = costs.call_seconds(model, "decode", tokens, 1)
        if encode:
            seconds += costs.call_seconds(model, "encode", tokens, 1)
        one = costs.call_seconds(model, "denoise", tokens, 1, min(1, candidate.adapters))
        return candidate.samples * (seconds + steps * one)

    # Who leads.

    def _leader(self, blocked: Container[str]) -> Candidate | None:
        allowed = _allowed(blocked)
        head = next((e for e in self._all if allowed(e.candidate)), None)
        if head is None:
            return None
        claims = self._claimant(lambda aged: self._seconds(aged.candidate, aged.candidate.tokens)(1))
        if claims is not None and allowed(claims.candidate):
            return claims.candidate
        leader = head.candidate
        if leader.stage == "denoise":
            return self._joiner(leader, allowed) or leader
        return self._interleaved(leader, allowed) or leader

    def _interleaved(self, leader: Candidate, allowed: Callable[[Candidate], bool]) -> Candidate | None:
        """After an encode or a decode, a denoising call that waits in the same class: none waits for two in a row.

        Unless its tenant had more than the leader's.
        """
        if self._last_stage in ("", "denoise"):
            return None
        waiting = self._foremost(lambda key: key[1] == "denoise", leader.priority, allowed)
        virtual = self._shares.virtual
        return waiting if waiting is not None and virtual(waiting.tenant) <= virtual(leader.tenant) else None

    def _foremost(
        self, wanted: Callable[[Group], bool], priority: int, allowed: Callable[[Candidate], bool]
    ) -> Candidate | None:
        """Who comes first in the groups wanted, of that class or a higher one."""
        rankings = [ranking for group, ranking in self._groups.items() if wanted(group)]
        firsts = [(ranking.rank(), found.candidate) for ranking in rankings if (found := ranking.first()) is not None]
        able = [(rank, one) for rank, one in firsts if rank is not None and one.priority <= priority and allowed(one)]
        return min(able, key=lambda one: one[0])[1] if able else None

    def _joiner(self, leader: Candidate, allowed: Callable[[Candidate], bool]) -> Candidate | None:
        """A newcomer to encode first, if the denoising call that is about to run would then take it along."""
        if self._last_stage == "encode":
            return None
        newcomer = self._foremost(lambda key: key[:2] == (leader.model, "encode"), leader.priority, allowed)
        if newcomer is None:
            return None
        most = self._most(leader)
        company = list(islice(self._groups[_group(leader)], most))
        delays = self._delays([*company, self._entries[newcomer.id]][:most])
        seconds = self._seconds(leader, leader.tokens)
        return newcomer if paying(seconds, delays, self._urgency) > len(company) else None

    # Whoever waits long.

    def _claimant(self, needs: Callable[[Entry], float]) -> Entry | None:
        """The oldest, if it has waited long and its share of the time since then is what it needs next."""
        now = self._clock.now_us()
        since_s, self._owed_us = (now - self._owed_us) / 1e6, now
        created_us, _, id = self._ages[0] if self._ages else (now, 0, None)
        if (now - created_us) / 1e6 < AGED_SECONDS:
            return None
        aged = self._entries[id]
        most = needs(aged)
        self._owed_s = min(self._owed_s + AGED_SHARE * since_s, most)
        if self._owed_s < most:
            return None
        self._favoured, self._claim_s = id, most
        return aged

    def _repaid(self, id: Hashable) -> None:
        """It was run, or leased: if it was out of turn, that is taken from what the oldest may claim."""
        if id == self._favoured:
            self._favoured, self._owed_s = None, self._owed_s - self._claim_s

    # Who shares its call.

    def _members(self, leader: Candidate) -> list[Candidate]:
        first, seconds = self._entries[leader.id], self._seconds(leader, leader.tokens)
        others = (found for found in self._groups[_group(leader)] if found is not first)
        able = [first, *islice(others, self._most(leader) - 1)]
        size = paying(seconds, self._delays(able), self._urgency)
        members = [found.candidate for found in able[:size]]
        slower = self._weights() / self._shares.weight(leader.tenant)
        while len(members) > 1 and (self._late(members, seconds) or _crowded(members, seconds, slower)):
            members.pop()
        return members

    def _most(self, leader: Candidate) -> int:
        """How many its call can take."""
        return self._limits.get(_group(leader), LARGEST_BATCH)

    def _delays(self, able: Sequence[Entry]) -> list[float]:
        """What a delay of each counts, in that order: nothing while a sample of its request is left out of the call."""
        inside, delays = Counter[Hashable](), list[float]()
        for found in able:
            request = _request(found.candidate)
            inside[request] += 1
            whole = inside[request] == self._of_request[request]
            delays.append(found.urgency * inside[request] if whole else 0.0)
        return delays

    def _weights(self) -> float:
        """Of all tenants that have something to run."""
        return sum(self._shares.weight(tenant) for tenant in self._of_tenant)

    def _late(self, members: Sequence[Candidate], seconds: Callable[[int], float]) -> bool:
        """Whether somebody misses a deadline in this company that it would make alone."""
        now, slower = self._clock.now_us(), seconds(len(members)) / seconds(1)
        for member in members:
            if member.finish_by_us is not None:
                slack_s, left_s = (member.finish_by_us - now) / 1e6, self._entries[member.id].left_s
                if left_s <= slack_s < left_s * slower:
                    return True
        return False

    def _seconds(self, like: Candidate, tokens: int) -> Callable[[int], float]:
        costs, adapters = self._costs, like.adapters
        return lambda batch: costs.call_seconds(like.model, like.stage, tokens, batch, adapters)

    # Book-keeping.

    def _arrived(self, tenant: str) -> None:
        if tenant not in self._of_tenant:
            for other in self._shares.arrive(tenant):
                self._moved(other)
        self._of_tenant[tenant] = self._of_tenant.get(tenant, 0) + 1

    def _remove(self, id: Hashable) -> None:
        old = self._entries[id]
        self._urgency = self._urgency - old.urgency if len(self._entries) > 1 else 0.0
        self._of_request[_request(old.candidate)] -= 1
        if not self._of_request[_request(old.candidate)]:
            del self._of_request[_request(old.candidate)]
        self._all.drop(old)
        group = self._groups[_group(old.candidate)]
        group.drop(old)
        if not group:
            del self._groups[_group(old.candidate)]
        at = (old.candidate.created_us, old.key[-1])
        del self._ages[bisect_left(self._ages, at)]

    def _moved(self, tenant: str) -> None:
        self._all.moved(tenant)
        for ranking in self._groups.values():
            ranking.moved(tenant)


def paying(seconds: Callable[[int], float], delays: Sequence[float], waiting: float) -> int:
    """How many should share a call.

    A member more delays those in the call by what it adds to it, and spares everybody who waits the difference between
    that and a call of its own. Where little waits, that favours small calls; where much does, throughput.

    Args:
        seconds: of a call by its number of members.
        delays: what a second's delay of those who may share it counts, in the order in which they would be taken; of at
            least one.
        waiting: what a second's delay of all that wait for the device counts, those included.
    """
    before = one = seconds(1)
    best, gain, best_gain, delayed = 1, 0.0, 0.0, 0.0
    for size in range(1, min(len(delays), LARGEST_BATCH)):
        after = seconds(size + 1)
        delayed += delays[size - 1]
        worth = TOGETHER if delays[size - 1] == 0.0 else GAIN
        gain += (waiting - delayed) * (worth * one - (after - before)) - delayed * (after - before)
        before = after
        if gain > best_gain:
            best, best_gain = size + 1, gain
    return best


def _crowded(members: Sequence[Candidate], seconds: Callable[[int], float], slower: float) -> bool:
    """Whether the leader's tenant would wait longer for this call than for its own part of it on its share of the
    device, which is so many times slower.
    """
    own = sum(member.tenant == members[0].tenant for member in members)
    return own < len(members) and seconds(len(members)) > slower * seconds(own)


def _group(candidate: Candidate) -> Group:
    return (candidate.model, candidate.stage, candidate.group)


def _request(candidate: Candidate) -> Hashable:
    return candidate.id if candidate.request is None else candidate.request


def _allowed(blocked: Container[str]) -> Callable[[Candidate], bool]:
    any_blocked = bool(blocked)
    return lambda c: c.model not in blocked and not (any_blocked and c.stage == "encode")
