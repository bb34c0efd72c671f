"""What is deleted, and when: payloads, files, events and attempts of requests that expired, or whose owner wants it.

A deleted file is no longer served from that moment; its bytes go afterwards (`purgeable`, then `purged`), so that a
crash between the two leaves nothing behind. Rows of requests and usage lines stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from laterna.contracts.messages import Artifact
from laterna.errors import NotFinished
from laterna.queue.entry import owned
from laterna.queue.events import LOG
from laterna.requests import outbox
from laterna.requests.views import no_request
from laterna.store.ids import well_formed
from laterna.store.schema import attempts, events, files, payloads, requests
from laterna.store.states import SETTLED
from laterna.tenants import limits

AT_ONCE = 200  # files in one transaction, so that no other write waits long
REQUESTS_AT_ONCE = 20  # each may have some thousands of events

_EXPIRED_REQUESTS = (
    select(requests.c.id)
    .where(
        requests.c.expires_us.is_not(None),
        requests.c.state == literal_column("'settled'"),
        requests.c.expires_us <= bindparam("now"),
    )
    .limit(REQUESTS_AT_ONCE)
)
_EXPIRED_FILES = (
    select(files.c.key)
    .where(files.c.expires_us.is_not(None), files.c.deleted_us.is_(None), files.c.expires_us <= bindparam("now"))
    .limit(AT_ONCE)
)
_PURGEABLE = (
    select(files.c.key)
    .where(files.c.deleted_us.is_not(None), files.c.purged_us.is_(None), files.c.access != literal_column("'inline'"))
    .limit(bindparam("most"))
)
_KNOWN = select(files.c.key).where(files.c.key.in_(bindparam("keys", expanding=True)))
_TENANT = select(requests.c.tenant_id).where(requests.c.id == bindparam("request"))
_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
_FORGET_PAYLOADS = delete(payloads).where(payloads.c.request_id.in_(_IDS))
_FORGET_HISTORY = (
    delete(events).where(events.c.request_id.in_(_IDS)),
    delete(attempts).where(attempts.c.request_id.in_(_IDS)),
)
_FORGET_LOGS = delete(events).where(events.c.request_id.in_(_IDS), events.c.kind == literal_column(f"'{LOG}'"))
_FORGET_EXPIRY = update(requests).where(requests.c.id.in_(bindparam("ids", expanding=True))).values(expires_us=None)
_PURGED = update(files).where(files.c.key.in_(bindparam("keys", expanding=True))).values(purged_us=bindparam("now"))


def delete_payloads(connection: Connection, tenant: str, request_id: str, now_us: int) -> list[str]:
    """Delete what was sent, generated and logged, now; returns keys that the media store may drop.

    Raises RequestNotFound, and NotFinished where it is not settled.
    """
    found = owned(connection, tenant, request_id) if well_formed(request_id) else None
    if found is None:
        raise no_request(request_id)
    if found.state != SETTLED:
        raise NotFinished(f"request {request_id} still needs its payload; cancel it first")
    connection.execute(_FORGET_PAYLOADS, {"ids": [request_id]})
    connection.execute(_FORGET_LOGS, {"ids": [request_id]})
    keys = list(connection.execute(select(files.c.key).where(files.c.request_id == request_id)).scalars())
    delete_files(connection, files.c.request_id == request_id, now_us)
    return [key for key in keys if not key.startswith("inline/")]


def delete_files(connection: Connection, which: ColumnElement[bool], now_us: int) -> int:
    """Serve them no longer, nor count them; returns how many there were."""
    gone = (
        update(files)
        .where(which, files.c.deleted_us.is_(None))
        .values(deleted_us=now_us, data=None)
        .returning(files.c.tenant_id, files.c.size_bytes)
    )
    freed = Counter[str]()
    rows = connection.execute(gone).all()
    for row in rows:
        freed[row.tenant_id] += row.size_bytes
    for tenant, size_bytes in freed.items():
        limits.keep(connection, tenant, -size_bytes)
    return len(rows)


def sweep(connection: Connection, now_us: int) -> bool:
    """Delete some of what has expired; returns whether there was any."""
    requests_gone = list(connection.execute(_EXPIRED_REQUESTS, {"now": now_us}).scalars())
    if requests_gone:
        for forget in (_FORGET_PAYLOADS, *_FORGET_HISTORY):
            connection.execute(forget, {"ids": requests_gone})
        outbox.forget(connection, requests_gone)
        connection.execute(_FORGET_EXPIRY, {"ids": requests_gone})
    files_gone = list(connection.execute(_EXPIRED_FILES, {"now": now_us}).scalars())
    if files_gone:
        delete_files(connection, files.c.key.in_(files_gone), now_us)
    return bool(requests_gone or files_gone)


def abandon(connection: Connection, request_id: str, made: Iterable[Artifact], now_us: int) -> None:
    """Have the stored files of an attempt that was in vain deleted, but for those that somebody has."""
    tenant = connection.execute(_TENANT, {"request": request_id}).scalar()
    keys = {artifact.key: artifact for artifact in made if artifact.data is None}
    if tenant is None or not keys:
        return
    for key in strangers(connection, list(keys)):
        row = {
            "key": key,
            "tenant_id": tenant,
            "request_id": request_id,
            "file_name": "",
            "content_type": keys[key].content_type,
            "size_bytes": keys[key].size_bytes,
            "access": "tenant",
            "created_us": now_us,
            "deleted_us": now_us,
        }
        connection.execute(insert(files), row)


def strangers(connection: Connection, keys: list[str]) -> list[str]:
    """Those keys that no file was ever known by."""
    known = set(connection.execute(_KNOWN, {"keys": keys}).scalars())
    return [key for key in keys if key not in known]


def purgeable(connection: Connection, most: int) -> list[str]:
    """Keys whose bytes may be dropped."""
    return list(connection.execute(_PURGEABLE, {"most": most}).scalars())


def purged(connection: Connection, keys: list[str], now_us: int) -> None:
    """Their bytes are gone."""
    if keys:
        connection.execute(_PURGED, {"keys": keys, "now": now_us})
