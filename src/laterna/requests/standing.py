"""Where a tenant stands: its limits beside what it has now, its share of the devices, and how many come before it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, literal_column, select

from laterna.billing.purses import Purse, purses_of
from laterna.queue.concurrency import holders
from laterna.store.schema import requests, shares, tenants
from laterna.tenants import limits
from laterna.tenants.limits import Limits, Use

# Who has something that waits, and the class of the most urgent of it.
_WAITING = (
    select(requests.c.tenant_id, func.min(requests.c.priority).label("priority"))
    .where(requests.c.state == literal_column("'queued'"))
    .group_by(requests.c.tenant_id)
    .subquery()
)
_PRESENT = select(_WAITING.c.tenant_id, _WAITING.c.priority, shares.c.virtual_ns).join_from(
    _WAITING, shares, shares.c.tenant_id == _WAITING.c.tenant_id, isouter=True
)
_WEIGHTS = select(tenants.c.id, tenants.c.weight).where(tenants.c.id.in_(bindparam("tenants", expanding=True)))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """At one moment."""

    name: str  # of the tenant
    limits: Limits
    use: Use
    weight: int  # against others'
    share: float  # of the devices, above 0, 1 alone: its weight's part of all that have work now, itself included
    place: int | None  # 1: its next request is leased next; absent: nothing of it waits
    contenders: int  # tenants that have something waiting, itself included
    purses: tuple[Purse, ...]  # what it may spend and has spent, by currency; empty: nothing yet, no limit


def standing_of(connection: Connection, tenant: str, now_us: int) -> Standing:
    """Of a tenant that there is."""
    named = select(tenants).where(tenants.c.id == tenant)
    own = connection.execute(named).one()
    present = connection.execute(_PRESENT).all()
    working = {tenant, *(row.tenant_id for row in present), *holders(connection)}
    weights = [row.weight for row in connection.execute(_WEIGHTS, {"tenants": sorted(working)})]
    order = sorted((row.priority, row.virtual_ns or 0, row.tenant_id) for row in present)
    places = [who for _, _, who in order]
    return Standing(
        name=own.name,
        limits=limits.of_row(own),
        use=limits.use_of(connection, tenant, now_us),
        weight=own.weight,
        share=own.weight / sum(weights),
        place=places.index(tenant) + 1 if tenant in places else None,
        contenders=len(places),
        purses=tuple(purses_of(connection, tenant, now_us)),
    )
