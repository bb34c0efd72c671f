"""A tenant's settled requests, latest first or longest first: what became of them, without what they were about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, tuple_

from laterna.errors import InvalidInput, Problem
from laterna.store.ids import well_formed
from laterna.store.schema import requests
from laterna.store.states import OK

LARGEST_PAGE = 200

_DURATION = func.coalesce(requests.c.inference_us, requests.c.settled_us - requests.c.started_us, 0)


@dataclass(frozen=True, kw_only=True)
class Which:
    """Of the settled requests, those that are wanted."""

    since_us: int  # submitted then or later
    until_us: int  # submitted earlier
    endpoints: tuple[str, ...] = ()  # ids; empty: all
    request_id: str | None = None  # absent: all
    well: bool | None = None  # whether they ended well; absent: both
    codes: frozenset[str] | None = None  # of the errors that they ended with; absent: any
    other_codes: frozenset[str] = frozenset()  # those that they did not end with
    longest_first: bool = False  # else those that ended last are first


@dataclass(frozen=True, kw_only=True)
class Past:
    """One of them."""

    request_id: str
    endpoint: str
    sent_us: int
    started_us: int | None  # first device call; absent: it never began
    ended_us: int
    code: str | None  # of its error; absent: it ended well
    duration_us: int  # from its first device call to its end; 0 where it never began


@dataclass(frozen=True, kw_only=True)
class PastPage:
    items: tuple[Past, ...]
    cursor: str | None  # for the next page; absent on the last


def history_of(connection: Connection, tenant: str, which: Which, cursor: str | None, limit: int) -> PastPage:
    """The next `limit` after the cursor. Raises InvalidInput for a cursor that no page gave."""
    limit = max(1, min(limit, LARGEST_PAGE))
    key = _DURATION if which.longest_first else requests.c.settled_us
    statement = (
        _wanted(tenant, which).add_columns(key.label("key")).order_by(key.desc(), requests.c.id.desc()).limit(limit + 1)
    )
    if cursor is not None:
        statement = statement.where(tuple_(key, requests.c.id) < tuple_(*_read(cursor)))
    rows = connection.execute(statement).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return PastPage(
        items=tuple(_past(row) for row in rows[:limit]), cursor=None if last is None else f"{last.key}.{last.id}"
    )


def _wanted(tenant: str, which: Which) -> Select[Any]:
    columns = (requests.c.id, requests.c.endpoint, requests.c.created_us, requests.c.started_us, requests.c.settled_us)
    statement = select(*columns, requests.c.error_code, _DURATION.label("duration")).where(
        requests.c.tenant_id == tenant,
        requests.c.created_us >= which.since_us,
        requests.c.created_us < which.until_us,
        requests.c.outcome.is_not(None),
    )
    if which.endpoints:
        statement = statement.where(requests.c.endpoint.in_(which.endpoints))
    if which.request_id is not None:
        statement = statement.where(requests.c.id == which.request_id)
    if which.well is not None:
        statement = statement.where((requests.c.outcome == OK) == which.well)
    if which.codes is not None:
        statement = statement.where(requests.c.error_code.in_(which.codes))
    if which.other_codes:
        statement = statement.where(func.coalesce(requests.c.error_code, "").not_in(which.other_codes))
    return statement


def _past(row: Row[*tuple[Any, ...]]) -> Past:
    return Past(
        request_id=row.id,
        endpoint=row.endpoint,
        sent_us=row.created_us,
        started_us=row.started_us,
        ended_us=row.settled_us,
        code=row.error_code,
        duration_us=row.duration,
    )


def _read(cursor: str) -> tuple[int, str]:
    key, _, request_id = cursor.partition(".")
    if not (key.isascii() and key.isdecimal() and len(key) < 19 and well_formed(request_id)):
        problem = Problem(loc=("query", "cursor"), msg="expected the cursor of an earlier page", input=cursor[:80])
        raise InvalidInput(problem)
    return int(key), request_id
