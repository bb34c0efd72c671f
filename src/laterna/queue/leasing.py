"""Leases: who works on a request, until when. Fenced by a random token, so that a worker thought dead changes nothing.

On a database of several servers the one that dispatches gives leases, and nobody else: whoever loses that right can
give no more, and what it gave before is void or runs out.

The last of a request's attempts is made alone on its worker: whoever then dies with it is to blame, and a request fails
for killing workers only on such evidence. Its neighbours of earlier attempts come through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from laterna import metrics
from laterna.contracts.generation import Generation
from laterna.contracts.messages import Lease
from laterna.errors import ExecutionError
from laterna.queue import charging, concurrency, events, tidings
from laterna.queue.ending import Ending, settle
from laterna.queue.entry import FIELDS, Entry, entry
from laterna.queue.lanes import decoded
from laterna.queue.waiting import IS_QUEUED, ORDER
from laterna.store.ids import random_token
from laterna.store.schema import attempts, payloads, requests
from laterna.store.states import FAILED, LEASED, LOGS, QUEUED, RUNNING, START
from laterna.store.store import must_lead

# Scheduled requests whose time has come.
_PROMOTE = (
    update(requests)
    .where(requests.c.state == literal_column("'scheduled'"), requests.c.not_before_us <= bindparam("now"))
    .values(state=QUEUED)
)

# Whether there are such: a read, so that an idle server writes nothing.
_PROMOTABLE = select(
    select(literal_column("1"))
    .where(requests.c.state == literal_column("'scheduled'"), requests.c.not_before_us <= bindparam("now"))
    .limit(1)
    .exists()
)

_QUEUED = (
    select(*FIELDS, payloads.c.generation)
    .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .where(IS_QUEUED)
    .with_for_update(skip_locked=True, of=requests)
)

# Whoever came first, by class.
_NEXT = _QUEUED.order_by(*ORDER).limit(bindparam("most"))

# Those chosen, as far as they still wait.
_CHOSEN = _QUEUED.where(requests.c.id.in_(bindparam("chosen", expanding=True)))

# What a worker holds, and whether one of it must be alone.
_HOLDS = select(
    func.count(),
    func.count().filter(requests.c.alone),
).where(requests.c.lease_worker.is_not(None), requests.c.lease_worker == bindparam("worker"))

_LEASE = (
    update(requests)
    .where(requests.c.id == bindparam("request"), IS_QUEUED)
    .values(
        state=LEASED,
        attempts=requests.c.attempts + 1,
        lease_token=bindparam("token"),
        lease_worker=bindparam("worker"),
        lease_expires_us=bindparam("until"),
    )
)
_BEGIN_ATTEMPT = insert(attempts)

_START = (
    update(requests)
    .where(
        requests.c.id == bindparam("request"),
        requests.c.lease_token == bindparam("lease"),
        requests.c.state == literal_column("'leased'"),
    )
    .values(state=RUNNING, started_us=bindparam("now"), plan_digest=bindparam("plan"))
    .returning(
        requests.c.attempts,
        requests.c.created_us,
        requests.c.card_id,
        requests.c.priority,
        requests.c.webhook_url,
        requests.c.webhook_events,
    )
)
_START_ATTEMPT = (
    update(attempts)
    .where(attempts.c.request_id == bindparam("request"), attempts.c.number == bindparam("attempt"))
    .values(started_us=bindparam("now"))
)

_RENEW = (
    update(requests)
    .where(
        requests.c.id.in_(bindparam("requests", expanding=True)),
        requests.c.lease_token.in_(bindparam("tokens", expanding=True)),
    )
    .values(lease_expires_us=bindparam("until"))
    .returning(requests.c.lease_token)
)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One that shall be leased, and what that counts against its tenant's share."""

    id: str
    device_ns: int = 0  # predicted device time
    virtual_ns: int = 0  # no less than this is its tenant's virtual time before: who was away has no credit


@dataclass(frozen=True, kw_only=True)
class Leased:
    """A request in a worker's hands."""

    lease: Lease
    tenant: str  # id
    weight: int  # its tenant's share against others'
    card_id: str
    generation: Generation
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int
    finish_by_us: int | None  # absent: no deadline
    attempt: int  # from 1
    tells_logs: bool  # whether its webhook is told of what it logs


def anything_to_promote(connection: Connection, now_us: int) -> bool:
    """Whether `promote` would change a row."""
    return bool(connection.execute(_PROMOTABLE, {"now": now_us}).scalar())


def promote(connection: Connection, now_us: int) -> None:
    """Let those wait for a worker who waited for their time, which has come."""
    connection.execute(_PROMOTE, {"now": now_us})


def lease_next(connection: Connection, worker: str, most: int, now_us: int, lease_us: int) -> list[Leased]:
    """Lease to the worker whoever came first, by class; each for `lease_us` from now unless renewed."""
    must_lead(connection)
    promote(connection, now_us)
    rows = connection.execute(_NEXT, {"most": most}).all()
    return _lease(connection, worker, rows, now_us, lease_us)


def lease_chosen(
    connection: Connection, worker: str, chosen: Sequence[Chosen], now_us: int, lease_us: int
) -> list[Leased]:
    """Lease those that were chosen and still wait to the worker, in the order given; their tenants are charged."""
    must_lead(connection)
    found = {row.id: row for row in connection.execute(_CHOSEN, {"chosen": [one.id for one in chosen]})}
    rows = [found[one.id] for one in chosen if one.id in found]
    taken = _lease(connection, worker, rows, now_us, lease_us)
    tenants = {one.lease.request_id: one.tenant for one in taken}
    for one in chosen:
        if one.id in tenants:
            charging.charge(connection, one.id, tenants[one.id], one.device_ns, one.virtual_ns)
    return taken


def _lease(connection: Connection, worker: str, rows: Sequence[Any], now_us: int, lease_us: int) -> list[Leased]:
    if not rows:
        return []
    taken = []
    jobs = {row.id: row.generation for row in rows}
    allowed = concurrency.within(connection, [entry(row) for row in rows])
    for found in _compatible(connection, worker, allowed):
        job = decoded(jobs[found.id])
        if job is None:
            message = "its stored input cannot be read by this version; submit it again"
            settle(connection, found, Ending(outcome=FAILED, code=ExecutionError.code, message=message), now_us)
        else:
            taken.append(_leased(found, job))
    _write(connection, worker, taken, now_us, now_us + lease_us)
    return taken


def start(connection: Connection, lease: Lease, now_us: int, plan: str) -> bool:
    """Its first device call begins, under that engine plan. False for a stale lease, or one that began before."""
    named = {"request": lease.request_id, "lease": lease.token, "now": now_us, "plan": plan or None}
    began = connection.execute(_START, named).first()
    if began is None:
        return False
    attempt, created_us, card_id, priority, webhook_url, told = began
    if webhook_url is not None and START in tidings.read(told) and not events.began(connection, lease.request_id):
        tidings.tell(connection, lease.request_id, webhook_url, START, now_us)
    waited_s = max(0, now_us - created_us) / 1e6
    metrics.WAITED.labels(card_id, metrics.CLASSES[priority]).observe(waited_s)
    connection.execute(_START_ATTEMPT, {"request": lease.request_id, "attempt": attempt, "now": now_us})
    events.append(connection, lease.request_id, now_us, events.STARTED, f"attempt {attempt}")
    return True


def renew(connection: Connection, leases: list[Lease], until_us: int) -> list[Lease]:
    """Keep the leases until then; returns those that have ended."""
    if not leases:
        return []
    named = {
        "requests": [lease.request_id for lease in leases],
        "tokens": [lease.token for lease in leases],
        "until": until_us,
    }
    kept = set(connection.execute(_RENEW, named).scalars())
    return [lease for lease in leases if lease.token not in kept]


def _compatible(connection: Connection, worker: str, found: list[Entry]) -> list[Entry]:
    """As many from the front as the worker may hold together."""
    holds, alone = connection.execute(_HOLDS, {"worker": worker}).one()
    if alone:
        return []
    together: list[Entry] = []
    for candidate in found:
        if candidate.alone:
            return together or ([] if holds else [candidate])
        together.append(candidate)
    return together


def _leased(found: Entry, job: Generation) -> Leased:
    return Leased(
        lease=Lease(request_id=found.id, token=random_token()),
        tenant=found.tenant,
        weight=found.weight,
        card_id=found.card_id,
        generation=job,
        priority=found.priority,
        created_us=found.created_us,
        finish_by_us=found.finish_by_us,
        attempt=found.attempts + 1,
        tells_logs=found.webhook_url is not None and LOGS in found.webhook_events,
    )


def _write(connection: Connection, worker: str, taken: list[Leased], now_us: int, until_us: int) -> None:
    if not taken:
        return
    connection.execute(
        _LEASE,
        [
            {"request": one.lease.request_id, "token": one.lease.token, "worker": worker, "until": until_us}
            for one in taken
        ],
    )
    connection.execute(
        _BEGIN_ATTEMPT,
        [
            {
                "request_id": one.lease.request_id,
                "number": one.attempt,
                "worker": worker,
                "leased_us": now_us,
                "lease_token": one.lease.token,
            }
            for one in taken
        ],
    )
    metrics.LEASED.labels(worker).inc(len(taken))
    events.append_all(connection, [one.lease.request_id for one in taken], now_us, events.LEASED, worker)
