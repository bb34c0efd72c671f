"""What time and the owner do to requests: cancel, expire, take back leases that ran out or outlived their server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal_column, or_, select, update

from laterna import metrics
from laterna.contracts.messages import Lease
from laterna.errors import StartTimeout
from laterna.queue import charging, events
from laterna.queue.ending import Ending, cancelled, give_back, poisoned, retry, settle
from laterna.queue.entry import FIELDS, Entry, entry, owned
from laterna.store.schema import requests
from laterna.store.states import EXPIRED, RUNNING, SETTLED, WAITING
from laterna.store.store import must_lead

AT_ONCE = 500  # rows in one transaction, so that no other write waits long

_UNSETTLED = requests.c.state != literal_column("'settled'")
_NOT_BEGUN = _UNSETTLED & (requests.c.state != literal_column("'running'"))

# Leases that nobody renewed in time.
_RAN_OUT = (
    select(*FIELDS).where(requests.c.lease_expires_us.is_not(None), requests.c.lease_expires_us <= bindparam("now"))
).limit(AT_ONCE)

# Whatever anybody holds.
_ALL_HELD = select(*FIELDS).where(requests.c.lease_expires_us.is_not(None)).limit(AT_ONCE)

# Requests that did not begin by the moment that their owner gave.
_TOO_LATE_TO_START = (
    select(*FIELDS)
    .where(requests.c.start_by_us.is_not(None), requests.c.start_by_us <= bindparam("now"), _NOT_BEGUN)
    .limit(AT_ONCE)
)

# Requests that still wait at their deadline. One that runs by then goes on: its work is nearly done.
_TOO_LATE_TO_FINISH = (
    select(*FIELDS)
    .where(requests.c.finish_by_us.is_not(None), requests.c.finish_by_us <= bindparam("now"), _NOT_BEGUN)
    .limit(AT_ONCE)
)

# Requests that their owner gave a time to live, which has passed.
_OUTLIVED = (
    select(*FIELDS)
    .where(
        requests.c.cancel_by_us.is_not(None),
        requests.c.cancel_by_us <= bindparam("now"),
        requests.c.cancel_us.is_(None),
        _UNSETTLED,
    )
    .limit(AT_ONCE)
)

_ASK_CANCEL = (
    update(requests)
    .where(requests.c.id == bindparam("request"), requests.c.cancel_us.is_(None))
    .values(cancel_us=bindparam("now"))
)

_ASKED_TO_END = select(requests.c.id, requests.c.lease_token).where(
    requests.c.id.in_(bindparam("requests", expanding=True)),
    requests.c.cancel_us.is_not(None),
    requests.c.lease_token.is_not(None),
)

# Whether there is anything to do: a read, so that an idle server writes nothing.
_ANYTHING = select(
    or_(
        *(
            statement.with_only_columns(literal_column("1")).limit(1).exists()
            for statement in (_RAN_OUT, _TOO_LATE_TO_START, _TOO_LATE_TO_FINISH)
        )
    )
)
_ANY_OUTLIVED = select(_OUTLIVED.with_only_columns(literal_column("1")).limit(1).exists())


def anything_to_do(connection: Connection, now_us: int) -> bool:
    """Whether `reclaim` would change a row."""
    return bool(connection.execute(_ANYTHING, {"now": now_us}).scalar())


def reclaim(connection: Connection, now_us: int) -> list[str]:
    """Take back what a silent worker held, end what is too late; returns the ids that changed."""
    changed = []
    for found in _rows(connection, _RAN_OUT, now_us):
        lost(connection, found, f"the worker {found.worker} fell silent; the request goes back to the queue", now_us)
        changed.append(found.id)
    for found in _rows(connection, _TOO_LATE_TO_START, now_us):
        _expire(connection, found, "it did not start in the time that its owner gave", now_us)
        changed.append(found.id)
    for found in _rows(connection, _TOO_LATE_TO_FINISH, now_us):
        _expire(connection, found, "it still waited when its deadline passed", now_us)
        changed.append(found.id)
    return changed


def any_outlived(connection: Connection, now_us: int) -> bool:
    """Whether `cancel_outlived` would change a row."""
    return bool(connection.execute(_ANY_OUTLIVED, {"now": now_us}).scalar())


def cancel_outlived(connection: Connection, now_us: int) -> dict[str, Lease | None]:
    """End what has not settled in the time that its owner gave, as `cancel` does; the leases of whose workers must be
    told, by request.
    """
    found = _rows(connection, _OUTLIVED, now_us)
    for one in found:
        _cancel(connection, one, now_us, "the time that its owner gave has passed")
    return {one.id: None if one.state in WAITING else one.lease for one in found}


def recover(connection: Connection, now_us: int) -> list[str]:
    """Take back every lease: the server that gave them dispatches no more, and nobody hears its workers.

    No attempt counts: that servers crash and are replaced is no reason for a request to fail.
    """
    must_lead(connection)
    changed = []
    for found in _rows(connection, _ALL_HELD, now_us):
        why = "the server stopped unexpectedly; the request goes back to the queue"
        events.log(connection, found.id, now_us, "WARN", why)
        give_back(connection, found, why, now_us)
        changed.append(found.id)
    return changed


def lost(connection: Connection, found: Entry, why: str, now_us: int, touched: bool = False) -> None:
    """Its worker died: it waits again at once, or has failed when its attempts are used up.

    The attempt counts only if the worker had begun with it: a device call (its state says so), or the load of its model
    (`touched` says so).
    """
    metrics.LOST.inc()
    events.log(connection, found.id, now_us, "WARN", why)
    if found.state == RUNNING or touched:
        retry(connection, found, poisoned(found), why, now_us)
    else:
        give_back(connection, found, why, now_us)


def asked_to_end(connection: Connection, request_ids: Sequence[str]) -> list[Lease]:
    """The leases of those whose end was asked for while a worker held them."""
    rows = connection.execute(_ASKED_TO_END, {"requests": request_ids})
    return [Lease(request_id=row.id, token=row.lease_token) for row in rows]


def cancel(connection: Connection, tenant: str, request_id: str, now_us: int) -> tuple[Entry | None, bool]:
    """Settle it at once where nobody holds it, else mark it; returns it as it was, and whether it is settled now."""
    found = owned(connection, tenant, request_id)
    if found is None or found.state == SETTLED:
        return found, False
    return found, _cancel(connection, found, now_us, "its owner asked for its end")


def _cancel(connection: Connection, found: Entry, now_us: int, why: str) -> bool:
    """Whether it is settled now; else its worker has it."""
    if found.state in WAITING:
        settle(connection, found, cancelled(), now_us)
        return True
    if not found.cancelled:
        connection.execute(_ASK_CANCEL, {"request": found.id, "now": now_us})
        events.append(connection, found.id, now_us, events.CANCEL_ASKED, why)
    return False


def _expire(connection: Connection, found: Entry, message: str, now_us: int) -> None:
    charging.correct(connection, found, 0)
    settle(connection, found, Ending(outcome=EXPIRED, code=StartTimeout.code, message=message), now_us)


def _rows(connection: Connection, statement: Select[Any], now_us: int) -> list[Entry]:
    return [entry(row) for row in connection.execute(statement.with_for_update(skip_locked=True), {"now": now_us})]
