"""A tenant's requests in pages, newest first."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, or_, select, tuple_

from laterna.errors import InvalidInput, Problem
from laterna.requests.views import CHARGED, COST, WORKER, RequestView, view
from laterna.store.ids import well_formed
from laterna.store.schema import payloads, requests

LARGEST_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which requests; None does not filter."""

    states: tuple[str, ...] | None = None  # of `laterna.store.states`
    outcomes: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    since_us: int | None = None  # submitted then or later
    until_us: int | None = None  # submitted earlier
    tags: tuple[tuple[str, str], ...] = ()  # name and value that each must have


@dataclass(frozen=True, kw_only=True)
class Page:
    items: tuple[RequestView, ...]  # without position and outputs: ask for one request to have them
    cursor: str | None  # for the next page; absent on the last


ALL = Filter()


def page_of(connection: Connection, tenant: str, cursor: str | None, limit: int, which: Filter = ALL) -> Page:
    """The next `limit` requests after the cursor. Raises InvalidInput for a cursor that no page gave."""
    limit = max(1, min(limit, LARGEST_PAGE))
    order = (requests.c.created_us, requests.c.id)
    statement = (
        select(requests, payloads.c.generation, COST, CHARGED, WORKER)
        .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
        .where(requests.c.tenant_id == tenant)
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    for column, wanted in (
        (requests.c.state, which.states),
        (requests.c.outcome, which.outcomes),
        (requests.c.endpoint, which.endpoints),
    ):
        if wanted is not None:
            statement = statement.where(column.in_(wanted))
    if which.since_us is not None:
        statement = statement.where(requests.c.created_us >= which.since_us)
    if which.until_us is not None:
        statement = statement.where(requests.c.created_us < which.until_us)
    for name, value in which.tags:
        statement = statement.where(_tagged(name, value))
    if cursor is not None:
        statement = statement.where(tuple_(*order) < tuple_(*_read(cursor)))
    rows = connection.execute(statement).mappings().all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=tuple(view(row, None, ()) for row in rows[:limit]),
        cursor=None if last is None else f"{last['created_us']}.{last['id']}",
    )


def _tagged(name: str, value: str) -> ColumnElement[bool]:
    """Whether a tag stands in the JSON object, as `json.dumps` writes it: first in it, or after another."""
    pair = json.dumps({name: value})[1:-1]
    return or_(*(func.replace(requests.c.tags, before + pair, "") != requests.c.tags for before in ("{", '", ')))


def _read(cursor: str) -> tuple[int, str]:
    created, _, request_id = cursor.partition(".")
    if not (created.isascii() and created.isdecimal() and len(created) < 19 and well_formed(request_id)):
        raise InvalidInput(
            Problem(loc=("query", "cursor"), msg="expected the cursor of an earlier page", input=cursor[:80])
        )
    return int(created), request_id
