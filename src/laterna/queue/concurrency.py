"""How many of a tenant's requests may be in workers' hands at once: who is at its limit waits, leased no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from laterna.queue.entry import Entry
from laterna.store.schema import requests, tenants

_LIMITS = select(tenants.c.id, tenants.c.concurrency).where(
    tenants.c.id.in_(bindparam("tenants", expanding=True)), tenants.c.concurrency.is_not(None)
)

# What workers hold: no more than their windows, found by the index of those; in groups it would be by another.
_HELD = select(requests.c.tenant_id).where(requests.c.lease_worker.is_not(None))


def rooms(connection: Connection, some: Collection[str]) -> dict[str, int]:
    """How many more requests of these tenants may be leased; tenants without a limit are not named."""
    limits = {row.id: int(row.concurrency) for row in connection.execute(_LIMITS, {"tenants": sorted(some)})}
    if not limits:
        return {}
    held = holders(connection)
    return {tenant: max(0, limit - held[tenant]) for tenant, limit in limits.items()}


def holders(connection: Connection) -> Counter[str]:
    """How many requests of each tenant are in workers' hands."""
    return Counter(connection.execute(_HELD).scalars())


def within(connection: Connection, found: Collection[Entry]) -> list[Entry]:
    """Those of them, in order, that may be leased now."""
    left, taken = rooms(connection, {one.tenant for one in found}), list[Entry]()
    for one in found:
        if left.get(one.tenant, 1) > 0:
            taken.append(one)
            if one.tenant in left:
                left[one.tenant] -= 1
    return taken
