"""What happened to a request, in order: its event log, of which the lines of kind `log` are shown to its owner.

With each event the other servers on the database have news of the request.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select

from laterna.store import news
from laterna.store.schema import events, requests

SUBMITTED = "submitted"
LEASED = "leased"
STARTED = "started"
RELEASED = "released"  # given back; the attempt does not count
RETRIED = "retried"  # waits again after an attempt that counts
RECOVERED = "recovered"  # what was used under a lease that a crash forgot was written down; the message is its token
CANCEL_ASKED = "cancel_asked"  # while a worker held it
SETTLED = "settled"
LOG = "log"

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
MAX_LOG_LINES = 2_000  # of one request; what comes after is not kept
LONGEST_MESSAGE = 8_000  # characters

# One more event, numbered after the last of its request.
_APPEND = insert(events).from_select(
    ["request_id", "seq", "time_us", "kind", "level", "message"],
    select(
        bindparam("for_request", type_=events.c.request_id.type),
        func.coalesce(func.max(events.c.seq), 0) + 1,
        bindparam("at", type_=events.c.time_us.type),
        bindparam("of_kind", type_=events.c.kind.type),
        bindparam("at_level", type_=events.c.level.type),
        bindparam("saying", type_=events.c.message.type),
    )
    .select_from(events)
    .where(events.c.request_id == bindparam("for_request", type_=events.c.request_id.type)),
)

_KNOWN = select(events.c.seq).where(
    events.c.request_id == bindparam("for_request"),
    events.c.kind == bindparam("of_kind"),
    events.c.message == bindparam("saying"),
)

_BEGAN = (
    select(events.c.seq)
    .where(events.c.request_id == bindparam("for_request"), events.c.kind == literal_column(f"'{STARTED}'"))
    .limit(1)
)

_LAST = select(func.max(events.c.seq)).where(events.c.request_id == bindparam("for_request"))

# The owner's log lines after one that is known.
_LOGS = (
    select(events.c.seq, events.c.time_us, events.c.level, events.c.message)
    .join_from(events, requests, requests.c.id == events.c.request_id)
    .where(
        requests.c.tenant_id == bindparam("tenant"),
        events.c.request_id == bindparam("for_request"),
        events.c.seq > bindparam("after"),
        events.c.kind == literal_column(f"'{LOG}'"),
    )
    .order_by(events.c.seq)
)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    seq: int  # rises within the request, with gaps
    time_us: int  # UTC microseconds
    level: str  # one of LEVELS
    message: str


def append(connection: Connection, request_id: str, now_us: int, kind: str, message: str) -> None:
    """Add an event of any kind but `log`."""
    connection.execute(_APPEND, _row(request_id, now_us, kind, None, message))
    news.tell(connection, news.REQUEST, request_id)


def known(connection: Connection, request_id: str, kind: str, message: str) -> bool:
    """Whether there is such an event."""
    named = {"for_request": request_id, "of_kind": kind, "saying": message}
    return connection.execute(_KNOWN, named).first() is not None


def began(connection: Connection, request_id: str) -> bool:
    """Whether any of its attempts came to its first device call."""
    return connection.execute(_BEGAN, {"for_request": request_id}).first() is not None


def append_all(connection: Connection, request_ids: list[str], now_us: int, kind: str, message: str) -> None:
    """Add the same event to several requests."""
    if request_ids:
        connection.execute(_APPEND, [_row(request_id, now_us, kind, None, message) for request_id in request_ids])
        news.tell(connection, news.REQUEST, *request_ids)


def log(connection: Connection, request_id: str, now_us: int, level: str, message: str) -> None:
    """Add a line for the owner, unless there are too many already. An unknown level counts as INFO."""
    last = connection.execute(_LAST, {"for_request": request_id}).scalar() or 0
    if last < MAX_LOG_LINES:
        known = level if level in LEVELS else "INFO"
        connection.execute(_APPEND, _row(request_id, now_us, LOG, known, message[:LONGEST_MESSAGE]))
        news.tell(connection, news.REQUEST, request_id)


def logs(connection: Connection, tenant: str, request_id: str, after_seq: int = 0) -> list[LogLine]:
    """The lines after that one, oldest first; none for another tenant's request."""
    rows = connection.execute(_LOGS, {"tenant": tenant, "for_request": request_id, "after": after_seq})
    return [LogLine(seq=row.seq, time_us=row.time_us, level=row.level, message=row.message) for row in rows]


def _row(request_id: str, now_us: int, kind: str, level: str | None, message: str) -> dict[str, object]:
    return {"for_request": request_id, "at": now_us, "of_kind": kind, "at_level": level, "saying": message}
