"""Webhooks that are to be told.

The end of a request is written with its settling, told at least once, given up after a while, told anew where its owner
asks for it, and each try is written down. What comes before it (`laterna.queue.tidings`) is told once, in order, and
gone. The end lets it go first for a moment, and then goes whatever becomes of it: what was not begun by then is void.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from laterna.errors import Conflict, NotFinished, RequestNotFound
from laterna.queue.entry import owned
from laterna.store.ids import well_formed
from laterna.store.schema import deliveries, outbox, requests, tidings
from laterna.store.states import COMPLETED, LOGS, SETTLED

# Seconds from one try to the next: eleven tries within about two hours, quick ones first.
RETRY_SECONDS = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
LONGEST_ERROR = 500  # characters
HEAD_START_SECONDS = 1.0  # for which what comes before an end may hold it up

# Ends that are due, longest overdue first.
_DUE = (
    select(outbox, requests.c.dialect)
    .join_from(outbox, requests, requests.c.id == outbox.c.request_id)
    .where(
        outbox.c.next_us.is_not(None),
        outbox.c.next_us <= bindparam("now"),
        or_(
            outbox.c.next_us <= bindparam("patience"),
            ~select(tidings.c.id).where(tidings.c.request_id == outbox.c.request_id).exists(),
        ),
    )
    .order_by(outbox.c.next_us)
    .limit(bindparam("most"))
)

# What comes before ends, first come first, one of each request at a time.
_earlier = tidings.alias()
_FIRST = ~(
    select(_earlier.c.id).where(_earlier.c.request_id == tidings.c.request_id, _earlier.c.id < tidings.c.id).exists()
)
_DUE_TIDINGS = (
    select(tidings, requests.c.tenant_id, requests.c.webhook_url, requests.c.dialect)
    .join_from(tidings, requests, requests.c.id == tidings.c.request_id)
    .where(_FIRST)
    .order_by(tidings.c.id)
    .limit(bindparam("most"))
)
_TOLD = delete(tidings).where(tidings.c.id == bindparam("tiding"))
_VOID = delete(tidings).where(tidings.c.request_id == bindparam("request"))

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

_ANEW = (
    update(outbox)
    .where(outbox.c.request_id == bindparam("request"))
    .values(tries=0, next_us=bindparam("now"), delivered_us=None)
)

# One more try, numbered after the last of its delivery.
_LOG = insert(deliveries).from_select(
    ["outbox_id", "number", "began_us", "took_us", "status", "error"],
    select(
        bindparam("delivery", type_=deliveries.c.outbox_id.type),
        func.coalesce(func.max(deliveries.c.number), 0) + 1,
        bindparam("began", type_=deliveries.c.began_us.type),
        bindparam("took", type_=deliveries.c.took_us.type),
        bindparam("status", type_=deliveries.c.status.type),
        bindparam("error", type_=deliveries.c.error.type),
    )
    .select_from(deliveries)
    .where(deliveries.c.outbox_id == bindparam("delivery", type_=deliveries.c.outbox_id.type)),
)

_OF_REQUEST = select(outbox).where(
    outbox.c.tenant_id == bindparam("tenant"), outbox.c.request_id == bindparam("request")
)
_TRIES = select(deliveries).where(deliveries.c.outbox_id == bindparam("delivery")).order_by(deliveries.c.number)

# Deliveries of requests that are forgotten; what is still due stays.
_ENDED = select(outbox.c.id).where(
    outbox.c.request_id.in_(bindparam("ids", expanding=True)), outbox.c.next_us.is_(None)
)
_FORGET = (
    delete(deliveries).where(deliveries.c.outbox_id.in_(bindparam("ended", expanding=True))),
    delete(outbox).where(outbox.c.id.in_(bindparam("ended", expanding=True))),
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook that is due."""

    id: str
    event: str  # of `laterna.store.states`
    tenant: str  # id
    request_id: str
    dialect: str  # in which its request was sent: whose shape and signature its receiver expects
    url: str
    host: str  # of the URL, with its port; empty for one of an earlier version
    tries: int  # made before, since it was written or last asked for anew

    @property
    def end(self) -> bool:
        """Whether it tells the end."""
        return self.event == COMPLETED

    @property
    def log(self) -> bool:
        """Whether it tells what was logged, which is not told at every moment."""
        return self.event == LOGS


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a receiver made of it."""

    status: int | None = None  # HTTP status; absent: there was no answer
    error: str | None = None  # why it was not taken; absent: it was
    hopeless: bool = False  # whether another try can never go better


@dataclass(frozen=True, kw_only=True)
class Try:
    """How one went."""

    answer: Answer
    began_us: int
    took_us: int


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """What became of a request's, so far."""

    url: str
    next_us: int | None  # when it is tried again; absent: it was taken or given up
    delivered_us: int | None  # absent: not yet, or never
    tries: tuple[Try, ...]  # oldest first, all there were


def due(
    connection: Connection, most: int, now_us: int, on_their_way: Collection[str], busy_hosts: Collection[str]
) -> list[Delivery]:
    """What should be delivered now, but for those ids and hosts.

    The same again until it is said how it went.
    """
    statement = _DUE
    if on_their_way:
        statement = statement.where(outbox.c.id.not_in(on_their_way))
    if busy_hosts:
        statement = statement.where(func.coalesce(outbox.c.host, "").not_in(busy_hosts))
    patience = now_us - round(HEAD_START_SECONDS * 1e6)
    return [_end(row) for row in connection.execute(statement, {"now": now_us, "patience": patience, "most": most})]


def due_tidings(
    connection: Connection, most: int, on_their_way: Collection[str], busy_hosts: Collection[str]
) -> list[Delivery]:
    """What comes before ends and should be delivered now, but for those ids and hosts."""
    statement = _DUE_TIDINGS
    if on_their_way:
        statement = statement.where(tidings.c.id.not_in(on_their_way))
    if busy_hosts:
        statement = statement.where(tidings.c.host.not_in(busy_hosts))
    return [_tiding(row) for row in connection.execute(statement, {"most": most})]


def tried(connection: Connection, delivery: Delivery, went: Try, now_us: int) -> None:
    """Write the try down. An end that was not taken is told again later, unless that cannot help or it was the last;
    what comes before it is gone, taken or not.
    """
    if not delivery.end:
        connection.execute(_TOLD, {"tiding": delivery.id})
        return
    connection.execute(_VOID, {"request": delivery.request_id})
    answer = went.answer
    error = None if answer.error is None else answer.error[:LONGEST_ERROR]
    named = {"delivery": delivery.id, "began": went.began_us, "took": went.took_us}
    connection.execute(_LOG, {**named, "status": answer.status, "error": error})
    if error is None:
        connection.execute(_TAKEN, {"delivery": delivery.id, "now": now_us})
        return
    hopeless = answer.hopeless or delivery.tries >= len(RETRY_SECONDS)
    later = None if hopeless else now_us + RETRY_SECONDS[delivery.tries] * 1_000_000
    connection.execute(_NOT_TAKEN, {"delivery": delivery.id, "next": later, "error": error})


def anew(connection: Connection, tenant: str, request_id: str, now_us: int) -> None:
    """Deliver it now, whatever became of it before, with all its tries.

    Raises RequestNotFound, NotFinished, and Conflict for a request that came without a webhook or has expired.
    """
    found = owned(connection, tenant, request_id) if well_formed(request_id) else None
    if found is None:
        raise RequestNotFound(f"no request {request_id[:80]!r}; check the id, and that the key is its sender's")
    if found.webhook_url is None:
        raise Conflict(f"request {request_id} was sent without fal_webhook; nobody is told of it")
    if found.state != SETTLED:
        raise NotFinished(f"request {request_id} has not ended; its webhook is told then")
    if COMPLETED not in found.webhook_events:
        raise Conflict(f"request {request_id} was sent with events that leave out its end; nobody is told of it")
    if not connection.execute(_ANEW, {"request": request_id, "now": now_us}).rowcount:
        raise Conflict(f"request {request_id} has expired, and what its webhook would tell with it")


def webhook_of(connection: Connection, tenant: str, request_id: str) -> Webhook | None:
    """None where the request has none, has not ended, is forgotten, or is another tenant's."""
    row = connection.execute(_OF_REQUEST, {"tenant": tenant, "request": request_id}).first()
    if row is None:
        return None
    made = connection.execute(_TRIES, {"delivery": row.id})
    return Webhook(
        url=row.url,
        next_us=row.next_us,
        delivered_us=row.delivered_us,
        tries=tuple(_try(one) for one in made),
    )


def forget(connection: Connection, request_ids: list[str]) -> None:
    """Delete what is known of their webhooks, but for those that are still due."""
    ended = list(connection.execute(_ENDED, {"ids": request_ids}).scalars())
    if ended:
        for statement in _FORGET:
            connection.execute(statement, {"ended": ended})


def _try(row: Row[*tuple[Any, ...]]) -> Try:
    answer = Answer(status=row.status, error=row.error)
    return Try(answer=answer, began_us=row.began_us, took_us=row.took_us)


def _tiding(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(
        id=row.id,
        event=row.event,
        tenant=row.tenant_id,
        request_id=row.request_id,
        dialect=row.dialect,
        url=row.webhook_url,
        host=row.host,
        tries=0,
    )


def _end(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(
        id=row.id,
        event=COMPLETED,
        tenant=row.tenant_id,
        request_id=row.request_id,
        dialect=row.dialect,
        url=row.url,
        host=row.host or "",
        tries=row.tries,
    )
