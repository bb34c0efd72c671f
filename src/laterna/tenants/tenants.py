"""Tenants: who shares this server, each with a weight against the others and limits of its own.

The first, `default`, is the operator's. A new tenant has the limits that the settings give; from then on they are its
own. Knows who they are; what they use is counted elsewhere.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, or_, select, update

from laterna.clock import Clock
from laterna.config import Settings
from laterna.errors import Conflict, InvalidInput, NotFound, Problem
from laterna.store.schema import shares, tenants
from laterna.store.store import Store
from laterna.tenants.limits import Limits, of_row

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,79}", re.ASCII)
EVERYBODY = "all"  # is nobody's name
HEAVIEST = 1_000_000
GB = 1_000_000_000  # bytes

_ALL = select(tenants).order_by(tenants.c.created_us, tenants.c.name)


@dataclass(frozen=True, kw_only=True)
class Tenant:
    id: str
    name: str  # unique, for people
    weight: int  # its share against others'
    limits: Limits
    created_us: int


class Tenants:
    """All tenants of one store."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self.usual = Limits(  # of a new tenant
            concurrency=settings.tenant_concurrency or None,
            queue_length=settings.tenant_queue_length or None,
            rate=settings.tenant_rate or None,
            storage_bytes=round(settings.tenant_storage_gb * GB) or None,
        )

    async def create(self, name: str, weight: int = 1, limits: Limits | None = None) -> Tenant:
        """A tenant; without limits given it has those of the settings.

        Raises InvalidInput for a name or a weight that cannot be, Conflict for a name that another has.
        """
        if NAME.fullmatch(name) is None or name == EVERYBODY:
            what = "expected 1 to 80 letters, digits, '.', '_', '@' or '-', a letter or digit first, and not 'all'"
            raise InvalidInput(Problem(loc=("body", "name"), msg=what, input=name[:100]))
        _check(weight)
        made = Tenant(
            id=str(uuid.uuid4()),
            name=name,
            weight=weight,
            limits=limits or self.usual,
            created_us=self._clock.now_us(),
        )
        await self._store.write(lambda connection: _insert(connection, made))
        return made

    async def all(self) -> list[Tenant]:
        """Oldest first."""
        return await self._store.read(lambda connection: [_tenant(row) for row in connection.execute(_ALL)])

    async def find(self, name: str) -> Tenant:
        """By its name or its id. Raises NotFound."""
        one = _ALL.where(or_(tenants.c.name == name, tenants.c.id == name))
        row = await self._store.read(lambda connection: connection.execute(one).first())
        if row is None:
            raise no_tenant(name)
        return _tenant(row)

    async def change(self, tenant: str, weight: int, limits: Limits) -> None:
        """From now on; what was admitted before stays admitted. Raises InvalidInput for a weight that cannot be."""
        _check(weight)
        changed = update(tenants).where(tenants.c.id == tenant).values(weight=weight, **limits.columns())
        await self._store.write(lambda connection: connection.execute(changed) and None)


def no_tenant(name: str) -> NotFound:
    return NotFound(f"no tenant {name[:80]!r}; check its name")


def ensure_tenant(connection: Connection, tenant: str, now_us: int) -> None:
    """See that there is a tenant of that id and name, without limits."""
    if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant)).first() is None:
        _insert(connection, Tenant(id=tenant, name=tenant, weight=1, limits=Limits(), created_us=now_us))


def _insert(connection: Connection, made: Tenant) -> None:
    taken = select(tenants.c.id).where(or_(tenants.c.name == made.name, tenants.c.id == made.name))
    if connection.execute(taken).first() is not None:
        raise Conflict(f"there is a tenant {made.name!r} already; choose another name")
    row = {"id": made.id, "name": made.name, "weight": made.weight, "created_us": made.created_us}
    connection.execute(insert(tenants), {**row, **made.limits.columns()})
    connection.execute(insert(shares), {"tenant_id": made.id})


def _check(weight: int) -> None:
    if not 1 <= weight <= HEAVIEST:
        raise InvalidInput(Problem(loc=("body", "weight"), msg=f"expected 1 to {HEAVIEST}", input=weight))


def _tenant(row: Row[*tuple[object, ...]]) -> Tenant:
    return Tenant(id=row.id, name=row.name, weight=row.weight, limits=of_row(row), created_us=row.created_us)
