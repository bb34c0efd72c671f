"""Who may be leased next: a bounded page of those that wait, for the policy to put in order.

A lane is what one tenant wants of one model in one priority class. The page holds the least work of every lane, and of
every class those that have waited longest, so that neither the length of the queue nor the size of one tenant's part of
it hides anybody. Leases nothing, and puts nothing in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Row, TextClause, bindparam, func, literal_column, select, text

from laterna.contracts.generation import Generation
from laterna.queue import concurrency
from laterna.store.schema import payloads, requests, shares, tenants

LANE_ROWS = 32  # of one lane in a page, where there are few lanes
PAGE_ROWS = 256  # of all lanes together, where there are many; each has one at least
OLDEST_ROWS = 8  # of one class

# The first row of every lane: from each, one step along the index leads to the next of its tenant and model, else to
# the next model of its tenant, else to the next tenant. Three searches, as one comparison of rows would look through a
# lane.
_STEP = "SELECT id FROM requests AS one WHERE one.state = 'queued' AND"
_LANES = f"""
WITH RECURSIVE lanes(id) AS (
    SELECT (SELECT id FROM requests WHERE state = 'queued' ORDER BY tenant_id, card_id, priority, work LIMIT 1)
    UNION ALL
    SELECT COALESCE(
        ({_STEP} one.tenant_id = first.tenant_id AND one.card_id = first.card_id AND one.priority > first.priority
            ORDER BY one.priority, one.work LIMIT 1),
        ({_STEP} one.tenant_id = first.tenant_id AND one.card_id > first.card_id
            ORDER BY one.card_id, one.priority, one.work LIMIT 1),
        ({_STEP} one.tenant_id > first.tenant_id
            ORDER BY one.tenant_id, one.card_id, one.priority, one.work LIMIT 1)
    )
    FROM lanes JOIN requests AS first ON first.id = lanes.id
)
"""

_COUNT_LANES = text(_LANES + "SELECT COUNT(lanes.id) FROM lanes")

# The least work of every lane.
_LEAST = text(
    _LANES
    + """
SELECT one.id FROM lanes
CROSS JOIN requests AS first
CROSS JOIN requests AS one
WHERE first.id = lanes.id AND one.id IN (
    SELECT id FROM requests
    WHERE state = 'queued' AND tenant_id = first.tenant_id AND card_id = first.card_id AND priority = first.priority
    ORDER BY work, created_us, id LIMIT :most
)
"""
)

# Those of a class that have waited longest.
_OLDEST = text(
    "SELECT id FROM requests WHERE state = 'queued' AND priority = :priority ORDER BY created_us, id LIMIT :most"
)

_PAGE = (
    select(
        *(requests.c.id, requests.c.tenant_id, requests.c.card_id, requests.c.priority),
        *(requests.c.created_us, requests.c.finish_by_us, requests.c.runner_hint, payloads.c.generation),
        *(tenants.c.weight, shares.c.virtual_ns),
    )
    .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .join(tenants, tenants.c.id == requests.c.tenant_id)
    .join(shares, shares.c.tenant_id == requests.c.tenant_id, isouter=True)
    .where(requests.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(requests.c.priority, requests.c.created_us, requests.c.id)
)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One that may be leased, as the policy and the choice of a worker need to know it."""

    id: str
    tenant: str  # id
    weight: int  # its tenant's share against others'
    virtual_ns: int  # device time that its tenant was charged, divided by the weight
    card_id: str
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int
    finish_by_us: int | None  # absent: no deadline
    runner_hint: str | None  # absent: any worker is as good
    generation: Generation | None  # absent where this version cannot read it
    room: int | None = None  # how many more of its tenant's may be leased; absent: no limit


# How much waits: alike requests together, in one walk along the index.
_TOTALS = (
    select(
        *(requests.c.tenant_id, requests.c.card_id, requests.c.priority, requests.c.work),
        func.count().label("count"),
        func.min(requests.c.created_us).label("first_us"),
        func.max(requests.c.created_us).label("last_us"),
    )
    .where(requests.c.state == literal_column("'queued'"))
    .group_by(requests.c.tenant_id, requests.c.card_id, requests.c.priority, requests.c.work)
)


@dataclass(frozen=True, kw_only=True)
class Total:
    """Waiting requests of equal work in one lane."""

    tenant: str  # id
    card_id: str
    priority: int  # 0 realtime, 1 normal, 2 low
    work: int  # token-steps of each
    count: int
    first_us: int  # when the first of them was submitted
    last_us: int  # and the last


def totals(connection: Connection) -> list[Total]:
    """All that may be leased now, summed up."""
    return [
        Total(
            tenant=row.tenant_id,
            card_id=row.card_id,
            priority=row.priority,
            work=row.work,
            count=row[4],  # `count` is a method of rows
            first_us=row.first_us,
            last_us=row.last_us,
        )
        for row in connection.execute(_TOTALS)
    ]


def page(connection: Connection) -> list[Waiting]:
    """At most about PAGE_ROWS, or one of each lane, of those that may be leased now; by class and age."""
    lanes = int(connection.execute(_COUNT_LANES).scalar_one())
    if not lanes:
        return []
    ids = _ids(connection, _LEAST, {"most": min(LANE_ROWS, max(1, PAGE_ROWS // lanes))})
    for priority in (0, 1, 2):
        ids |= _ids(connection, _OLDEST, {"priority": priority, "most": OLDEST_ROWS})
    rows = connection.execute(_PAGE, {"ids": sorted(ids)}).all()
    rooms = concurrency.rooms(connection, {row.tenant_id for row in rows})
    return [_waiting(row, rooms.get(row.tenant_id)) for row in rows]


def decoded(generation: bytes | None) -> Generation | None:
    """What was stored; None for what is gone or only another version can read."""
    try:
        return None if generation is None else msgspec.json.decode(generation, type=Generation)
    except msgspec.DecodeError:
        return None


def _ids(connection: Connection, statement: TextClause, named: Mapping[str, int]) -> set[str]:
    return set(connection.execute(statement, named).scalars())


def _waiting(row: Row[*tuple[object, ...]], room: int | None) -> Waiting:
    return Waiting(
        id=row.id,
        tenant=row.tenant_id,
        weight=row.weight,
        virtual_ns=row.virtual_ns or 0,
        card_id=row.card_id,
        priority=row.priority,
        created_us=row.created_us,
        finish_by_us=row.finish_by_us,
        runner_hint=row.runner_hint,
        generation=decoded(row.generation),
        room=room,
    )
