"""A ranking: candidates in the policy's order, kept rather than sorted, so that a step costs as little among thousands.

Class first, then the tenant's virtual time, then what has least left, the nearer deadline, the older. Of one tenant's
candidates each stands behind those before it by as much virtual time as they will take. Puts in order and decides
nothing.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from laterna.scheduler.shares import Shares

SIMILAR = 4  # sizes in a doubling: what differs by less than 19 % counts as equally long, and the older one comes first


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the policy knows of something that could be run now: a sample for an engine, a request for dispatch."""

    id: Hashable  # its owner's handle
    model: str
    stage: str  # encode, denoise or decode: the stage that it needs next
    group: Hashable  # candidates of one model and stage with equal groups may share a call
    tokens: int  # work of one call for it
    steps_left: int  # denoising steps to go
    steps: int = 0  # denoising steps in all; absent: those to go
    tenant: str
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int
    finish_by_us: int | None = None  # explicit deadline; absent when there is none
    request: Hashable = None  # whose samples are done only together; absent: it is alone
    samples: int = 1  # that it consists of
    adapters: int = 0  # samples with adapters among them


def size_class(seconds: float) -> int:
    """What counts as equally long has the same."""
    return math.floor(SIMILAR * math.log2(max(seconds, 1e-6)))


Key = tuple[int, float, int, int]  # size class, deadline, time of submission, serial number


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A candidate in a ranking."""

    candidate: Candidate
    left_s: float  # predicted device seconds until it is done
    urgency: float  # what a second of its waiting counts against one of others
    key: Key  # its place among those of its class and tenant


def entry(candidate: Candidate, left_s: float, serial: int, urgency: float) -> Entry:
    deadline = math.inf if candidate.finish_by_us is None else float(candidate.finish_by_us)
    return Entry(
        candidate=candidate,
        left_s=left_s,
        urgency=urgency,
        key=(size_class(left_s), deadline, candidate.created_us, serial),
    )


Flow = tuple[int, str]  # what one tenant wants in one class
Head = tuple[int, float, Key, str]  # class, virtual time and key of a flow's first, tenant


class Ranking:
    """Entries by rank. `moved` must be told of tenants whose virtual time has changed."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._flows: dict[Flow, list[tuple[Key, Entry]]] = {}
        self._heads: list[Head] = []
        self._head_of: dict[Flow, Head] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, new: Entry) -> None:
        flow = (new.candidate.priority, new.candidate.tenant)
        insort(self._flows.setdefault(flow, []), (new.key, new))
        self._count += 1
        self._place(flow)

    def drop(self, old: Entry) -> None:
        flow = (old.candidate.priority, old.candidate.tenant)
        line = self._flows[flow]
        del line[bisect_left(line, (old.key,))]
        self._count -= 1
        if not line:
            del self._flows[flow]
        self._place(flow)

    def moved(self, tenant: str) -> None:
        for priority in (0, 1, 2):
            self._place((priority, tenant))

    def first(self) -> Entry | None:
        if not self._heads:
            return None
        priority, _, _, tenant = self._heads[0]
        return self._flows[priority, tenant][0][1]

    def rank(self) -> Head | None:
        """Of its first; None where it is empty."""
        return self._heads[0] if self._heads else None

    def __iter__(self) -> Iterator[Entry]:
        """In order, lazily: the first few of thousands cost little."""
        heap: list[tuple[int, float, Key, str, int]] = []
        following = 0  # of the heads: those from here on are not in the heap
        while heap or following < len(self._heads):
            if following < len(self._heads) and (not heap or self._heads[following] < heap[0][:4]):
                heapq.heappush(heap, (*self._heads[following], 0))
                following += 1
            priority, virtual, _, tenant, at = heapq.heappop(heap)
            line = self._flows[priority, tenant]
            found = line[at][1]
            yield found
            if at + 1 < len(line):
                later = virtual + found.left_s / self._shares.weight(tenant)
                heapq.heappush(heap, (priority, later, line[at + 1][0], tenant, at + 1))

    def _place(self, flow: Flow) -> None:
        """Put the flow's first where it belongs among the firsts."""
        old = self._head_of.pop(flow, None)
        if old is not None:
            del self._heads[bisect_left(self._heads, old)]
        line = self._flows.get(flow)
        if line:
            priority, tenant = flow
            head = (priority, self._shares.virtual(tenant), line[0][0], tenant)
            insort(self._heads, head)
            self._head_of[flow] = head
