"""The attempts at a request, with what each used and what its worker did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, select

from laterna.contracts.messages import Span
from laterna.store.schema import attempts, requests

_OF_REQUEST = (
    select(attempts)
    .join_from(attempts, requests, requests.c.id == attempts.c.request_id)
    .where(requests.c.tenant_id == bindparam("tenant"), attempts.c.request_id == bindparam("request"))
    .order_by(attempts.c.number)
)
_decoder = msgspec.json.Decoder(list[Span])


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One, as far as it is known. Of its neighbours in the engine it says how many there were, and nothing else."""

    number: int  # from 1
    worker: str
    leased_us: int
    started_us: int | None  # first device call; absent: none
    ended_us: int | None  # absent: it goes on
    outcome: str | None  # ok, failed, cancelled, expired or lost; absent: it goes on
    error_code: str | None  # of `laterna.errors`, by which it ended; absent: it went well, or goes on
    device_ns: int | None  # its share of the device's time; absent: not told yet, or never
    timeline: tuple[Span, ...]  # empty: not told yet, or never


def attempts_of(connection: Connection, tenant: str, request_id: str) -> list[Attempt]:
    """In order; none for another tenant's request, or one whose history has expired."""
    return [_attempt(row) for row in connection.execute(_OF_REQUEST, {"tenant": tenant, "request": request_id})]


def _attempt(row: Row[*tuple[Any, ...]]) -> Attempt:
    return Attempt(
        number=row.number,
        worker=row.worker,
        leased_us=row.leased_us,
        started_us=row.started_us,
        ended_us=row.ended_us,
        outcome=row.outcome,
        error_code=row.error_code,
        device_ns=row.device_ns,
        timeline=() if row.timeline is None else tuple(_decoder.decode(row.timeline)),
    )
