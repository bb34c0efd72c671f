"""What a request's webhook is told before the end: that it began, what it logs, what it made.

Only of requests whose senders asked, each in the transaction in which it comes to be: nobody else's cost a write. A log
of which news waits to be told is not written again, and one whose request ends is told with the end. The end itself is
the outbox's, whose promise is the greater. Neighbours: `ending` writes the end, `laterna.requests.outbox` delivers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, literal_column, select

from laterna.store.ids import Ids
from laterna.store.schema import requests, tidings
from laterna.store.states import COMPLETED, LOGS

_ids = Ids()
_TELL = insert(tidings)

# Those whose log somebody wants, who run, and of whose log nothing is on its way.
_LOGGED = select(requests.c.id, requests.c.webhook_url).where(
    requests.c.id.in_(bindparam("ids", expanding=True)),
    requests.c.state == literal_column("'running'"),
    requests.c.webhook_url.is_not(None),
    ~select(tidings.c.id)
    .where(tidings.c.request_id == requests.c.id, tidings.c.event == literal_column(f"'{LOGS}'"))
    .exists(),
)

_UNTOLD = delete(tidings).where(
    tidings.c.request_id == bindparam("request"), tidings.c.event == literal_column(f"'{LOGS}'")
)


def tell(connection: Connection, request_id: str, url: str, event: str, now_us: int) -> None:
    """Have one of START, OUTPUT and LOGS told."""
    row = {"id": _ids.new(now_us), "request_id": request_id, "event": event, "host": host_of(url)}
    connection.execute(_TELL, row)


def logged(connection: Connection, request_ids: Sequence[str], now_us: int) -> None:
    """Something was logged of these, whose senders asked for it: nothing for those that ended meanwhile."""
    for row in connection.execute(_LOGGED, {"ids": list(request_ids)}).all():
        tell(connection, row.id, row.webhook_url, LOGS, now_us)


def outdate(connection: Connection, request_id: str) -> None:
    """Its end tells its log."""
    connection.execute(_UNTOLD, {"request": request_id})


def stored(events: Sequence[str]) -> str | None:
    """As text for the store; None where the end alone is told."""
    return None if tuple(events) == (COMPLETED,) else ",".join(events)


def read(text: str | None) -> tuple[str, ...]:
    """Of the store's text."""
    return (COMPLETED,) if text is None else tuple(text.split(","))


def host_of(url: str) -> str:
    """Whose deliveries share a limit. Any text is taken: whether it is a URL is found out when it is called."""
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].lower()
