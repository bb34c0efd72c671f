"""What was used and charged, added up by model, key, tenant and price; and the charges one by one.

What counts is when it was written down: that is when a request settled, or when it was learned what a dead worker used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, case, func, literal_column, select, tuple_

from laterna.billing.usage import PRICE
from laterna.store.schema import api_keys, requests, usage_lines

LINES = usage_lines.c
_IS_PRICE = LINES.stage == literal_column(f"'{PRICE}'")


@dataclass(frozen=True, kw_only=True)
class Which:
    """Whose usage of what."""

    tenants: tuple[str, ...]  # ids
    endpoints: tuple[str, ...] = ()  # ids; empty: all
    keys: tuple[str, ...] = ()  # ids; empty: all


@dataclass(frozen=True, kw_only=True)
class Used:
    """Usage of one kind in one span of time."""

    tenant: str  # id
    key_id: str | None  # absent: the server itself asked, or keys are added up
    key_name: str | None  # for people
    endpoint: str
    unit: str | None  # what the price is for; absent: submitted to an earlier version
    unit_nano: int  # for one of it
    currency: str
    charges: int  # requests that were charged, be it nothing
    quantity_micro: int  # millionths of the unit
    amount_nano: int
    device_ns: int  # what it took, whatever became of it


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one request was charged."""

    line: int  # id of its usage line
    request_id: str
    tenant: str  # id
    key_id: str | None  # absent: the server itself asked
    endpoint: str
    outcome: str  # ok, or cancelled while it ran
    unit: str | None
    unit_nano: int
    quantity_micro: int
    amount_nano: int
    quoted_nano: int
    currency: str
    created_us: int  # when it settled


def used(connection: Connection, which: Which, since_us: int, until_us: int) -> list[Used]:
    """By tenant, key, endpoint and price, the dearest first."""
    dimensions = (
        requests.c.tenant_id,
        requests.c.key_id,
        api_keys.c.name,
        requests.c.endpoint,
        requests.c.price_unit,
        requests.c.unit_nano,
        LINES.currency,
    )
    statement = (
        select(
            *dimensions,
            func.sum(case((_IS_PRICE, 1), else_=0)).label("charges"),
            func.coalesce(func.sum(LINES.quantity_micro), 0).label("quantity"),
            func.sum(LINES.amount_nano).label("amount"),
            func.sum(LINES.device_ns).label("device_ns"),
        )
        .join_from(usage_lines, requests, requests.c.id == LINES.request_id)
        .join(api_keys, api_keys.c.id == requests.c.key_id, isouter=True)
        .where(LINES.created_us >= since_us, LINES.created_us < until_us)
        .group_by(*dimensions)
    )
    rows = connection.execute(_picked(statement, which))
    return sorted((_used(row) for row in rows), key=lambda one: (-one.amount_nano, one.endpoint, one.key_id or ""))


def together(lines: Sequence[Used], ignore: Sequence[str]) -> list[Used]:
    """Lines that differ in nothing but the dimensions to `ignore` (fields of `Used`), added up; those become None."""
    blank: dict[str, Any] = dict.fromkeys(ignore)
    found: dict[object, Used] = {}
    for line in lines:
        line = replace(line, **blank)
        key = (line.tenant, line.key_id, line.endpoint, line.unit, line.unit_nano, line.currency)
        found[key] = _sum(found[key], line) if key in found else line
    return list(found.values())


def charges(
    connection: Connection,
    which: Which,
    since_us: int,
    until_us: int,
    *,
    newest_first: bool,
    after: tuple[int, int] | None,
    most: int,
) -> list[Charge]:
    """The next charges after (`created_us`, `line`) of the last one that was told."""
    order = (LINES.created_us, LINES.id)
    statement = (
        select(usage_lines, *_OF_REQUEST)
        .join_from(usage_lines, requests, requests.c.id == LINES.request_id)
        .where(_IS_PRICE, LINES.created_us >= since_us, LINES.created_us < until_us)
        .order_by(*(column.desc() if newest_first else column for column in order))
        .limit(most)
    )
    if after is not None:
        here = tuple_(*order)
        statement = statement.where(here < after if newest_first else here > after)
    return [_charge(row) for row in connection.execute(_picked(statement, which))]


def average_nano(connection: Connection, which: Which) -> dict[str, tuple[int, str]]:
    """Endpoint -> what its charged requests cost on average, rounded up, and the currency of the latest price."""
    statement = (
        select(requests.c.endpoint, LINES.currency, func.sum(LINES.amount_nano), func.count())
        .join_from(usage_lines, requests, requests.c.id == LINES.request_id)
        .where(_IS_PRICE)
        .group_by(requests.c.endpoint, LINES.currency)
        .order_by(func.max(LINES.created_us))
    )
    rows = connection.execute(_picked(statement, which))
    return {endpoint: (-(-int(total) // count), currency) for endpoint, currency, total, count in rows}


_OF_REQUEST = (
    requests.c.key_id,
    requests.c.endpoint,
    requests.c.price_unit,
    requests.c.unit_nano,
    requests.c.price_nano,
)


def _picked(statement: Select[Any], which: Which) -> Select[Any]:
    statement = statement.where(LINES.tenant_id.in_(which.tenants))
    if which.endpoints:
        statement = statement.where(requests.c.endpoint.in_(which.endpoints))
    if which.keys:
        statement = statement.where(requests.c.key_id.in_(which.keys))
    return statement


def _used(row: Any) -> Used:
    return Used(
        tenant=row.tenant_id,
        key_id=row.key_id,
        key_name=row.name,
        endpoint=row.endpoint,
        unit=row.price_unit,
        unit_nano=row.unit_nano or 0,
        currency=row.currency,
        charges=int(row.charges),
        quantity_micro=int(row.quantity),
        amount_nano=int(row.amount),
        device_ns=int(row.device_ns),
    )


def _sum(one: Used, other: Used) -> Used:
    return replace(
        one,
        charges=one.charges + other.charges,
        quantity_micro=one.quantity_micro + other.quantity_micro,
        amount_nano=one.amount_nano + other.amount_nano,
        device_ns=one.device_ns + other.device_ns,
    )


def _charge(row: Any) -> Charge:
    return Charge(
        line=row.id,
        request_id=row.request_id,
        tenant=row.tenant_id,
        key_id=row.key_id,
        endpoint=row.endpoint,
        outcome=row.outcome,
        unit=row.price_unit,
        unit_nano=row.unit_nano or 0,
        quantity_micro=row.quantity_micro or 0,
        amount_nano=row.amount_nano,
        quoted_nano=row.price_nano,
        currency=row.currency,
        created_us=row.created_us,
    )
