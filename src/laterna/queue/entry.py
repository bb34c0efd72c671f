"""A request's row as the functions of its life see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from laterna.contracts.messages import Lease
from laterna.queue import tidings
from laterna.store.schema import requests, tenants

_WEIGHT = select(tenants.c.weight).where(tenants.c.id == requests.c.tenant_id).scalar_subquery().label("weight")

FIELDS = (
    requests.c.id,
    requests.c.tenant_id,
    requests.c.card_id,
    requests.c.priority,
    requests.c.state,
    requests.c.outcome,
    requests.c.cancel_us,
    requests.c.finish_by_us,
    requests.c.created_us,
    requests.c.started_us,
    requests.c.attempts,
    requests.c.max_attempts,
    requests.c.retries,
    requests.c.alone,
    requests.c.lease_token,
    requests.c.lease_worker,
    requests.c.webhook_url,
    requests.c.webhook_events,
    requests.c.price_nano,
    requests.c.currency,
    requests.c.quantity_micro,
    requests.c.store_io,
    requests.c.keep_seconds,
    requests.c.access,
    requests.c.charged_ns,
    requests.c.traceparent,
    _WEIGHT,
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """As it was read within the transaction."""

    id: str
    tenant: str  # id
    card_id: str
    priority: int  # 0 realtime, 1 normal, 2 low
    state: str  # of `laterna.store.states`
    outcome: str | None  # absent: not settled
    cancelled: bool  # its owner asked for its end while a worker held it
    finish_by_us: int | None  # absent: no deadline
    created_us: int
    started_us: int | None  # absent: no device call yet
    attempts: int  # counted, the present one included
    max_attempts: int
    retries: Mapping[str, int] | None  # by cause, as its sender said; absent: as usual
    alone: bool  # whether its next attempt, or the present one, is made with nothing beside it on its worker
    lease: Lease | None  # absent: nobody holds it
    worker: str | None  # who holds it
    webhook_url: str | None
    webhook_events: tuple[str, ...]  # of `laterna.store.states`, that it is told of
    price_nano: int  # quoted
    currency: str
    quantity_micro: int  # quoted, in millionths of its price's unit
    store_io: bool
    keep_seconds: int | None  # absent: for ever
    access: str | None  # JSON, of its outputs; absent: whoever has their addresses may read
    charged_ns: int | None  # counted against its tenant's share for the present lease; absent: not held
    traceparent: str | None  # W3C trace context of its submission; absent: it is not traced
    weight: int  # of its tenant


def entry(row: Row[*tuple[Any, ...]]) -> Entry:
    """Of a row that has at least FIELDS."""
    return Entry(
        id=row.id,
        tenant=row.tenant_id,
        card_id=row.card_id,
        priority=row.priority,
        state=row.state,
        outcome=row.outcome,
        cancelled=row.cancel_us is not None,
        finish_by_us=row.finish_by_us,
        created_us=row.created_us,
        started_us=row.started_us,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        retries=None if row.retries is None else json.loads(row.retries),
        alone=row.alone,
        lease=None if row.lease_token is None else Lease(request_id=row.id, token=row.lease_token),
        worker=row.lease_worker,
        webhook_url=row.webhook_url,
        webhook_events=tidings.read(row.webhook_events),
        price_nano=row.price_nano,
        currency=row.currency,
        quantity_micro=row.quantity_micro or 0,
        store_io=row.store_io,
        keep_seconds=row.keep_seconds,
        access=row.access,
        charged_ns=row.charged_ns,
        traceparent=row.traceparent,
        weight=row.weight,
    )


# A request of its tenant.
_OWNED = (
    select(*FIELDS)
    .where(requests.c.tenant_id == bindparam("tenant"), requests.c.id == bindparam("request"))
    .with_for_update()
)

# The request that this lease holds: none where the lease has ended, whoever has it now.
_HELD = (
    select(*FIELDS)
    .where(requests.c.id == bindparam("request"), requests.c.lease_token == bindparam("token"))
    .with_for_update()
)


def owned(connection: Connection, tenant: str, request_id: str) -> Entry | None:
    """The tenant's request; None where it has no such."""
    row = connection.execute(_OWNED, {"tenant": tenant, "request": request_id}).first()
    return None if row is None else entry(row)


def held(connection: Connection, lease: Lease) -> Entry | None:
    """What the lease holds; None for a stale one."""
    row = connection.execute(_HELD, {"request": lease.request_id, "token": lease.token}).first()
    return None if row is None else entry(row)
