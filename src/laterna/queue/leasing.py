"""Leases: who works on a request, until when. Fenced by a random token, so that a worker thought dead changes nothing.

The last of a request's attempts is made alone on its worker: whoever then dies with it is to blame, and a request fails
for killing workers only on such evidence. Its neighbours of earlier attempts come through.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from laterna.contracts.generation import Generation
from laterna.contracts.messages import Lease
from laterna.errors import ExecutionError
from laterna.queue import events
from laterna.queue.ending import Ending, settle
from laterna.queue.entry import FIELDS, Entry, entry
from laterna.queue.waiting import IS_QUEUED, ORDER
from laterna.store.ids import random_token
from laterna.store.schema import attempts, payloads, requests
from laterna.store.states import FAILED, LEASED, QUEUED, RUNNING

# Scheduled requests whose time has come.
_PROMOTE = (
    update(requests)
    .where(requests.c.state == literal_column("'scheduled'"), requests.c.not_before_us <= bindparam("now"))
    .values(state=QUEUED)
)

# The next ones, in order.
_NEXT = (
    select(*FIELDS, payloads.c.generation)
    .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .where(IS_QUEUED)
    .order_by(*ORDER)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=requests)
)

# What a worker holds, and whether one of it must be alone.
_HOLDS = select(
    func.count(),
    func.count().filter(requests.c.attempts > 1, requests.c.attempts == requests.c.max_attempts),
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
    .values(state=RUNNING, started_us=bindparam("now"))
    .returning(requests.c.attempts)
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
class Leased:
    """A request in a worker's hands."""

    lease: Lease
    tenant: str  # id
    card_id: str
    generation: Generation
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int
    finish_by_us: int | None  # absent: no deadline
    attempt: int  # from 1


def lease_next(connection: Connection, worker: str, most: int, now_us: int, lease_us: int) -> list[Leased]:
    """Lease the next requests in order to the worker; each for `lease_us` from now unless renewed."""
    connection.execute(_PROMOTE, {"now": now_us})
    rows = connection.execute(_NEXT, {"most": most}).all()
    if not rows:
        return []
    taken = []
    jobs = {row.id: row.generation for row in rows}
    for found in _compatible(connection, worker, [entry(row) for row in rows]):
        job = _decoded(jobs[found.id])
        if job is None:
            message = "its stored input cannot be read by this version; submit it again"
            settle(connection, found, Ending(outcome=FAILED, code=ExecutionError.code, message=message), now_us)
        else:
            taken.append(_leased(found, job))
    _write(connection, worker, taken, now_us, now_us + lease_us)
    return taken


def start(connection: Connection, lease: Lease, now_us: int) -> bool:
    """Its first device call begins. False for a stale lease, or one that began before."""
    named = {"request": lease.request_id, "lease": lease.token, "now": now_us}
    attempt = connection.execute(_START, named).scalar()
    if attempt is None:
        return False
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
        if candidate.last_chance:
            return together or ([] if holds else [candidate])
        together.append(candidate)
    return together


def _decoded(generation: bytes | None) -> Generation | None:
    try:
        return None if generation is None else msgspec.json.decode(generation, type=Generation)
    except msgspec.DecodeError:
        return None


def _leased(found: Entry, job: Generation) -> Leased:
    return Leased(
        lease=Lease(request_id=found.id, token=random_token()),
        tenant=found.tenant,
        card_id=found.card_id,
        generation=job,
        priority=found.priority,
        created_us=found.created_us,
        finish_by_us=found.finish_by_us,
        attempt=found.attempts + 1,
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
    events.append_all(connection, [one.lease.request_id for one in taken], now_us, events.LEASED, worker)
