"""How requests went, counted: by endpoint, how they ended, how long they took and waited. Of those that were sent in a
span of time and have ended. Percentiles are exact: the value of the request at that rank, not an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal_column, select

from laterna.store.schema import requests

PERCENTILES = (25, 50, 75, 90, 95, 99)

_DURATION = requests.c.inference_us
_WAIT = requests.c.started_us - requests.c.created_us


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One endpoint's requests in one span of time."""

    endpoint: str
    ended: Mapping[str | None, int]  # code of the error that they ended with, None for well -> how many
    inference_us: int  # first device call to last, of all that ended well together
    durations_us: Mapping[int, int]  # percent -> inference of those that ended well; empty where none did
    waits_us: Mapping[int, int]  # percent -> from submit to the first device call; empty where none began


def measured(
    connection: Connection, tenants: tuple[str, ...], endpoints: tuple[str, ...], since_us: int, until_us: int
) -> list[Measured]:
    """By endpoint, those with most requests first. `endpoints` empty: all."""
    span = [
        requests.c.tenant_id.in_(tenants),
        requests.c.created_us >= since_us,
        requests.c.created_us < until_us,
        requests.c.outcome.is_not(None),
    ]
    if endpoints:
        span.append(requests.c.endpoint.in_(endpoints))
    ended: dict[str, dict[str | None, int]] = {}
    spent: dict[str, int] = {}
    for row in connection.execute(_counts(span)):
        ended.setdefault(row.endpoint, {})[row.error_code] = row.many
        spent[row.endpoint] = spent.get(row.endpoint, 0) + int(row.inference or 0)
    durations = _percentiles(connection, span, _DURATION)
    waits = _percentiles(connection, span, _WAIT)
    found = [
        Measured(
            endpoint=endpoint,
            ended=codes,
            inference_us=spent[endpoint],
            durations_us=durations.get(endpoint, {}),
            waits_us=waits.get(endpoint, {}),
        )
        for endpoint, codes in ended.items()
    ]
    return sorted(found, key=lambda one: (-sum(one.ended.values()), one.endpoint))


def _counts(span: list[ColumnElement[bool]]) -> Select[Any]:
    columns = (requests.c.endpoint, requests.c.error_code)
    many, inference = func.count().label("many"), func.sum(requests.c.inference_us).label("inference")
    return select(*columns, many, inference).where(*span).group_by(*columns)


def _percentiles(
    connection: Connection, span: list[ColumnElement[bool]], value: ColumnElement[int]
) -> dict[str, dict[int, int]]:
    """Endpoint -> percent -> the smallest value that so many percent of its values do not exceed."""
    ranked = (
        select(
            requests.c.endpoint,
            value.label("value"),
            func.row_number().over(partition_by=requests.c.endpoint, order_by=value).label("place"),
            func.count().over(partition_by=requests.c.endpoint).label("many"),
        )
        .where(*span, value.is_not(None))
        .subquery()
    )
    statement = select(
        ranked.c.endpoint,
        *(
            func.min(case((ranked.c.place * literal_column("100") >= ranked.c.many * percent, ranked.c.value)))
            for percent in PERCENTILES
        ),
    ).group_by(ranked.c.endpoint)
    return {
        row[0]: {percent: int(found) for percent, found in zip(PERCENTILES, row[1:], strict=True)}
        for row in connection.execute(statement)
    }
