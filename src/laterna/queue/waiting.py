"""Into the queue, and how long it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, tuple_

from laterna.queue import events
from laterna.store.schema import payloads, requests

IS_QUEUED = requests.c.state == literal_column("'queued'")  # spelt out, as the partial index wants it
ORDER = (requests.c.priority, requests.c.created_us, requests.c.id)  # who comes first

Place = tuple[int, int, str]  # priority, time of submission, id: whoever's is lower is leased first

# How many wait before one, counted no further than asked for.
_AHEAD = select(func.count()).select_from(
    select(literal_column("1"))
    .where(IS_QUEUED, tuple_(*ORDER) < tuple_(bindparam("priority"), bindparam("created_us"), bindparam("id")))
    .limit(bindparam("most"))
    .subquery()
)

# All that may be leased, in order.
_PLACES = select(*ORDER).where(IS_QUEUED).order_by(*ORDER)

# How many wait in all, those for their time included.
_LENGTH = select(
    select(func.count()).where(IS_QUEUED).scalar_subquery()
    + select(func.count()).where(requests.c.state == literal_column("'scheduled'")).scalar_subquery()
)

# How many may be leased that want one model.
_LENGTH_OF_CARD = select(func.count()).where(IS_QUEUED, requests.c.card_id == bindparam("card"))

# The request of an idempotency key.
_BY_KEY = (
    select(requests.c.id, requests.c.endpoint, payloads.c.raw_input)
    .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .where(requests.c.tenant_id == bindparam("tenant"), requests.c.idempotency_key == bindparam("key"))
)

_INSERT = insert(requests)
_INSERT_PAYLOAD = insert(payloads)


def submit(connection: Connection, row: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
    """Insert a waiting request: columns of `requests` and of `payloads`."""
    connection.execute(_INSERT, [dict(row)])
    connection.execute(_INSERT_PAYLOAD, [dict(payload)])
    events.append(connection, row["id"], row["created_us"], events.SUBMITTED, row["endpoint"])


def position(connection: Connection, place: Place, most: int) -> int:
    """How many will be leased before it, if nobody else comes, counted up to `most`: 0 for the next."""
    priority, created_us, request_id = place
    named = {"priority": priority, "created_us": created_us, "id": request_id, "most": most}
    return int(connection.execute(_AHEAD, named).scalar_one())


def places(connection: Connection) -> list[Place]:
    """Everybody's, in order."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_PLACES)]


def length(connection: Connection, card_id: str | None = None) -> int:
    """How many requests wait, in all or for one model."""
    if card_id is None:
        return int(connection.execute(_LENGTH).scalar_one())
    return int(connection.execute(_LENGTH_OF_CARD, {"card": card_id}).scalar_one())


def of_idempotency_key(connection: Connection, tenant: str, key: str) -> Any:
    """Id, endpoint and raw input (None once deleted) of the tenant's request with that key; None where it has none."""
    return connection.execute(_BY_KEY, {"tenant": tenant, "key": key}).first()
