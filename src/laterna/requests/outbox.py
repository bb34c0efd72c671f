"""Webhooks that are to be told: written with the settling, delivered at least once, given up after a while."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update

from laterna.store.schema import outbox

# Seconds from one try to the next: eleven tries within about two hours, quick ones first.
RETRY_SECONDS = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
LONGEST_ERROR = 500  # characters

# What is due, longest overdue first.
_DUE = (
    select(outbox)
    .where(outbox.c.next_us.is_not(None), outbox.c.next_us <= bindparam("now"))
    .order_by(outbox.c.next_us)
    .limit(bindparam("most"))
)

_TAKEN = (
    update(outbox)
    .where(outbox.c.id == bindparam("delivery"))
    .values(tries=outbox.c.tries + 1, next_us=None, delivered_us=bindparam("now"), last_error=None)
)

_NOT_TAKEN = (
    update(outbox)
    .where(outbox.c.id == bindparam("delivery"), outbox.c.delivered_us.is_(None))
    .values(tries=outbox.c.tries + 1, next_us=bindparam("next"), last_error=bindparam("error"))
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook that is due."""

    id: str
    tenant: str  # id
    request_id: str
    url: str
    host: str  # of the URL, with its port; empty for one of an earlier version
    tries: int  # made before


def due(
    connection: Connection, most: int, now_us: int, on_their_way: Collection[str], busy_hosts: Collection[str]
) -> list[Delivery]:
    """What should be delivered now, but for those ids and hosts.

    The same again until it is said to be delivered or to have failed.
    """
    statement = _DUE
    if on_their_way:
        statement = statement.where(outbox.c.id.not_in(on_their_way))
    if busy_hosts:
        statement = statement.where(func.coalesce(outbox.c.host, "").not_in(busy_hosts))
    return [
        Delivery(
            id=row.id,
            tenant=row.tenant_id,
            request_id=row.request_id,
            url=row.url,
            host=row.host or "",
            tries=row.tries,
        )
        for row in connection.execute(statement, {"now": now_us, "most": most})
    ]


def delivered(connection: Connection, delivery: str, now_us: int) -> None:
    connection.execute(_TAKEN, {"delivery": delivery, "now": now_us})


def failed(connection: Connection, delivery: str, tries: int, error: str, now_us: int, permanent: bool) -> None:
    """Try again later; not where that cannot help, or after the last of RETRY_SECONDS."""
    hopeless = permanent or tries >= len(RETRY_SECONDS)
    later = None if hopeless else now_us + RETRY_SECONDS[tries] * 1_000_000
    connection.execute(_NOT_TAKEN, {"delivery": delivery, "next": later, "error": error[:LONGEST_ERROR]})
