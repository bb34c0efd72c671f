"""The requests that a data folder's server has done: as a trace to replay, as they really went, and what they took
beside the devices' calls.

Reads the database beside a running server and changes nothing. Left out is what did not end well, and what can no
longer be read because its input was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select
from sqlalchemy.exc import OperationalError

from laterna.config import Settings
from laterna.contracts.generation import Generation
from laterna.contracts.messages import Span
from laterna.errors import ConfigError
from laterna.queue.lanes import decoded
from laterna.simulation.device import Arrival, Completion
from laterna.simulation.fleet import NONE, Overheads
from laterna.simulation.trace import CLASSES, Asked
from laterna.store.schema import attempts, payloads, requests, tenants
from laterna.store.states import OK
from laterna.store.store import reading_engine
from laterna.store.writer import unavailable

LATEST = 500  # requests of which the overheads are learned
LOADED_SECONDS = 1.0  # who waits longer for an idle device waits for a model to be loaded
EVERY = 10_000_000  # requests

# Requests that ended well, the latest first, with what was asked and what their last attempt did.
_DONE = (
    select(
        *(requests.c.card_id, requests.c.priority, requests.c.finish_by_us),
        *(requests.c.created_us, requests.c.started_us, requests.c.settled_us),
        *(tenants.c.name, tenants.c.weight, payloads.c.generation, attempts.c.timeline, attempts.c.device_ns),
    )
    .join_from(requests, tenants, tenants.c.id == requests.c.tenant_id)
    .join(payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .join(
        attempts,
        (attempts.c.request_id == requests.c.id) & (attempts.c.number == requests.c.attempts),
        isouter=True,
    )
    .where(requests.c.outcome == OK, requests.c.started_us.is_not(None))
    .where(requests.c.created_us >= bindparam("since"))
    .order_by(requests.c.created_us.desc(), requests.c.id.desc())
    .limit(bindparam("most"))
)
_spans = msgspec.json.Decoder(list[Span])


@dataclass(frozen=True, kw_only=True)
class Done:
    """One request that ended well. Times are UTC microseconds."""

    tenant: str  # its name
    weight: int
    priority: int  # 0 realtime, 1 normal, 2 low
    model: str  # the card's id
    created_us: int
    started_us: int  # its first device call
    settled_us: int
    finish_by_us: int | None  # absent: it had no deadline
    device_s: float  # its share of the device's time; 0 where that is not known
    last_s: float | None  # from its first device call to the end of its last; absent where that is not known
    job: Generation | None  # absent where its input is deleted


def exists(settings: Settings) -> bool:
    """Whether a server ever kept requests here."""
    return bool(settings.store) or settings.database.exists()


def done(settings: Settings, since_us: int = 0, most: int = EVERY) -> list[Done]:
    """The latest of those submitted since then, oldest first.

    Raises ConfigError where there never was a server, Unavailable where its database does not answer.
    """
    if not exists(settings):
        raise ConfigError(f"{settings.data}: no history yet; serve requests first, or name a folder with --data")
    engine = reading_engine(settings)
    try:
        with engine.connect() as connection, connection.begin():
            rows = connection.execute(_DONE, {"since": since_us, "most": most}).all()
    except OperationalError as error:
        raise unavailable(error) from error
    finally:
        engine.dispose()
    return [_done(row) for row in reversed(rows)]


def asked(some: Iterable[Done]) -> list[Asked]:
    """As a trace that begins with the first of them."""
    known = [(one, one.job) for one in some if one.job is not None]
    return [
        Asked(
            time_s=(one.created_us - known[0][0].created_us) / 1e6,
            tenant=one.tenant,
            weight=one.weight,
            priority=CLASSES[one.priority],
            model=one.model,
            steps=job.steps,
            width=job.width,
            height=job.height,
            cfg_scale=job.cfg_scale,
            count=job.count,
            finish_within_s=None if one.finish_by_us is None else (one.finish_by_us - one.created_us) / 1e6,
        )
        for one, job in known
    ]


def completions(some: Sequence[Done], arrivals: Sequence[Arrival]) -> list[Completion]:
    """How they really went; the arrivals are theirs."""
    known = [one for one in some if one.job is not None]
    return [
        Completion(
            arrival=arrival,
            began_s=arrival.at_s + (one.started_us - one.created_us) / 1e6,
            ended_s=arrival.at_s + (one.settled_us - one.created_us) / 1e6,
            device_s=one.device_s,
        )
        for one, arrival in zip(known, arrivals, strict=True)
    ]


def overheads(some: Sequence[Done]) -> Overheads:
    """What they took beside the device: before it, those that came while nothing else was there; after it, all."""
    idle, latest_us = list[float](), 0
    for one in some:
        if one.created_us > latest_us:
            idle.append((one.started_us - one.created_us) / 1e6)
        latest_us = max(latest_us, one.settled_us)
    after = [(one.settled_us - one.started_us) / 1e6 - one.last_s for one in some if one.last_s is not None]
    if not after:
        return NONE
    warm = [seconds for seconds in idle if 0 <= seconds < LOADED_SECONDS]
    return Overheads(before_s=median(warm or [0.0]), after_s=[max(0.0, seconds) for seconds in after])


def _done(row: Row[*tuple[Any, ...]]) -> Done:
    return Done(
        tenant=row.name,
        weight=row.weight,
        priority=row.priority,
        model=row.card_id,
        created_us=row.created_us,
        started_us=row.started_us,
        settled_us=row.settled_us,
        finish_by_us=row.finish_by_us,
        device_s=(row.device_ns or 0) / 1e9,
        last_s=_last_s(row.timeline),
        job=decoded(row.generation),
    )


def _last_s(timeline: bytes | None) -> float | None:
    spans = [] if timeline is None else [span for span in _spans.decode(timeline) if span.on_device]
    if not spans or spans[-1].end_ns is None:
        return None
    return (spans[-1].end_ns - spans[0].start_ns) / 1e9
