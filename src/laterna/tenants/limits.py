"""What a tenant may have at once, and whether one more fits: decided within the transaction that adds it, so that no
race lets two in where there is room for one.

A tenant at its concurrency waits: dispatch leases it no more (`laterna.queue.concurrency`), and only who stays on the
line for an answer is refused. Money is not counted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, literal_column, select, update

from laterna.errors import QueueFull, RateLimited, StorageFull, TooManyConcurrent
from laterna.store.schema import requests, tenants

MINUTE_US = 60_000_000

_ONE = select(
    *(tenants.c.concurrency, tenants.c.queue_length, tenants.c.rate_per_minute),
    *(tenants.c.storage_bytes, tenants.c.stored_bytes),
).where(tenants.c.id == bindparam("tenant"))
_LOCK = _ONE.with_for_update()  # one submit of a limited tenant after another: each sees what the last one added

_OF_TENANT = requests.c.tenant_id == bindparam("tenant")
_QUEUED = select(func.count()).where(_OF_TENANT, requests.c.state == literal_column("'queued'"))
_SCHEDULED = select(func.count()).where(_OF_TENANT, requests.c.state == literal_column("'scheduled'"))
_HELD = select(func.count()).where(_OF_TENANT, requests.c.lease_worker.is_not(None))

# Those submitted within a minute of now, as clocks of one moment may be in any order; the latest first.
_RECENT = select(requests.c.created_us).where(
    _OF_TENANT, requests.c.created_us > bindparam("since"), requests.c.created_us < bindparam("until")
)
_SUBMITTED = select(func.count()).select_from(_RECENT.subquery())
_NTH = _RECENT.order_by(requests.c.created_us.desc()).limit(1).offset(bindparam("before"))

_STORE = (
    update(tenants)
    .where(tenants.c.id == bindparam("tenant"))
    .values(stored_bytes=tenants.c.stored_bytes + bindparam("more"))
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Each absent where there is no limit; 0 lets nothing through."""

    concurrency: int | None = None  # requests in workers' hands at once
    queue_length: int | None = None  # requests that wait
    rate: int | None = None  # submissions in any minute
    storage_bytes: int | None = None  # of files that are kept

    def columns(self) -> dict[str, int | None]:
        """As the table of tenants has them."""
        return {
            "concurrency": self.concurrency,
            "queue_length": self.queue_length,
            "rate_per_minute": self.rate,
            "storage_bytes": self.storage_bytes,
        }


NONE = Limits()


@dataclass(frozen=True, kw_only=True)
class Use:
    """What it has now."""

    running: int  # requests in workers' hands
    waiting: int  # requests that wait, for a worker or for their time
    submitted: int  # in the last minute
    stored_bytes: int  # of files that are kept


def of_row(row: Row[*tuple[object, ...]]) -> Limits:
    """Of a row that has its columns."""
    return Limits(
        concurrency=row.concurrency,
        queue_length=row.queue_length,
        rate=row.rate_per_minute,
        storage_bytes=row.storage_bytes,
    )


def use_of(connection: Connection, tenant: str, now_us: int) -> Use:
    """What the tenant has now."""
    recent = {"tenant": tenant, "since": now_us - MINUTE_US, "until": now_us + MINUTE_US}
    return Use(
        running=_count(connection, _HELD, tenant),
        waiting=_waiting(connection, tenant),
        submitted=int(connection.execute(_SUBMITTED, recent).scalar_one()),
        stored_bytes=int(connection.execute(_ONE, {"tenant": tenant}).one().stored_bytes),
    )


def admit(connection: Connection, tenant: str, now_us: int, *, direct: bool) -> None:
    """Whether one more request fits, within the transaction that inserts it.

    Args:
        direct: its sender stays on the line for the answer, and should not wait for others of its own.

    Raises RateLimited, QueueFull, TooManyConcurrent or StorageFull.
    """
    if of_row(connection.execute(_ONE, {"tenant": tenant}).one()) == NONE:
        return
    row = connection.execute(_LOCK, {"tenant": tenant}).one()
    limits = of_row(row)
    if limits.storage_bytes is not None and row.stored_bytes >= limits.storage_bytes:
        raise _full(row.stored_bytes, limits.storage_bytes)
    if limits.rate is not None:
        _check_rate(connection, tenant, limits.rate, now_us)
    waiting = _waiting(connection, tenant)
    if limits.queue_length is not None and waiting >= limits.queue_length:
        raise QueueFull(
            f"{waiting} of your requests wait already, and {limits.queue_length} may; try again when some have begun"
        )
    if direct and limits.concurrency is not None:
        present = waiting + _count(connection, _HELD, tenant)
        if present >= limits.concurrency:
            raise TooManyConcurrent(
                f"{present} of your requests are under way, and {limits.concurrency} may run at once; "
                "try again when one has ended, or send it through the queue, where it waits"
            )


def keep(connection: Connection, tenant: str, more_bytes: int) -> None:
    """Count a file that is kept from now on, or (below 0) no longer."""
    connection.execute(_STORE, {"tenant": tenant, "more": more_bytes})


def upload(connection: Connection, tenant: str, size_bytes: int) -> None:
    """Count an uploaded file. Raises StorageFull where there is no room for it."""
    row = connection.execute(_LOCK, {"tenant": tenant}).one()
    limit = of_row(row).storage_bytes
    if limit is not None and row.stored_bytes + size_bytes > limit:
        raise _full(row.stored_bytes, limit)
    keep(connection, tenant, size_bytes)


def room(connection: Connection, tenant: str) -> int | None:
    """Bytes that it may upload yet; None where there is no limit. Raises StorageFull where there is no room at all."""
    row = connection.execute(_ONE, {"tenant": tenant}).one()
    limit = of_row(row).storage_bytes
    if limit is not None and row.stored_bytes >= limit:
        raise _full(row.stored_bytes, limit)
    return None if limit is None else limit - row.stored_bytes


def _check_rate(connection: Connection, tenant: str, rate: int, now_us: int) -> None:
    """Exact over any minute: the request that was as many before as may be in one must be older than that."""
    named: Mapping[str, Any] = {
        "tenant": tenant,
        "since": now_us - MINUTE_US,
        "until": now_us + MINUTE_US,
        "before": max(rate - 1, 0),
    }
    nth = connection.execute(_NTH, named).scalar() if rate else now_us
    if nth is not None:
        again_s = max((nth + MINUTE_US - now_us) / 1e6, 0.001)
        raise RateLimited(
            f"{rate} requests a minute may be submitted; try again in {again_s:.1f} s", retry_after_s=again_s
        )


def _waiting(connection: Connection, tenant: str) -> int:
    return _count(connection, _QUEUED, tenant) + _count(connection, _SCHEDULED, tenant)


def _count(connection: Connection, statement: Any, tenant: str) -> int:
    return int(connection.execute(statement, {"tenant": tenant}).scalar_one())


def _full(stored: int, limit: int) -> StorageFull:
    return StorageFull(
        f"your files take {stored:,} bytes, and {limit:,} may be kept; delete some, or let them expire earlier"
    )
