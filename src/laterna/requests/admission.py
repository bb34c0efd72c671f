"""Admit or refuse, and insert: one transaction."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from sqlalchemy import Connection

from laterna.billing import purses
from laterna.billing.quotes import quote
from laterna.contracts.generation import SCHEMA_VERSION, work_tokens
from laterna.errors import Conflict, DeadlineUnreachable, InvalidInput, Problem, QueueFull
from laterna.queue import tidings, waiting
from laterna.queue.retries import most_attempts
from laterna.requests import access
from laterna.requests.places import Places
from laterna.requests.submission import Receipt, Submission
from laterna.requests.views import view_of
from laterna.store.states import QUEUED, SCHEDULED
from laterna.tenants import limits


def rows_of(asked: Submission, request_id: str, now_us: int, attempts: int, keep_seconds: int | None) -> Any:
    """The rows of `requests` and `payloads`, made before the writer's turn. Raises InvalidInput for bad text."""
    try:
        raw = msgspec.json.encode(asked.raw_input)
        generation = msgspec.json.encode(asked.generation)
        tags = json.dumps(dict(asked.tags))
    except UnicodeEncodeError as error:
        raise InvalidInput(
            Problem(loc=("body",), msg="the text is no valid Unicode: it has half a surrogate")
        ) from error
    payload = {
        "request_id": request_id,
        "schema_version": SCHEMA_VERSION,
        "generation": generation,
        "raw_input": raw,
    }
    quoted = quote(asked.price, asked.generation)
    scheduled = asked.not_before_us is not None and asked.not_before_us > now_us
    row = {
        "id": request_id,
        "tenant_id": asked.tenant,
        "key_id": asked.key_id,
        "dialect": asked.dialect,
        "endpoint": asked.endpoint,
        "card_id": asked.card_id,
        "model_revision": asked.model_revision,
        "priority": asked.priority,
        "state": SCHEDULED if scheduled else QUEUED,
        "start_by_us": asked.start_by_us,
        "finish_by_us": asked.finish_by_us,
        "cancel_by_us": asked.cancel_by_us,
        "not_before_us": asked.not_before_us,
        "idempotency_key": asked.idempotency_key,
        "tags": tags,
        "store_io": asked.store_io,
        "keep_seconds": keep_seconds if asked.keep_seconds is None else asked.keep_seconds,
        "runner_hint": asked.runner_hint,
        "access": access.stored(asked.access),
        "base_url": asked.base_url,
        "webhook_url": asked.webhook_url,
        "webhook_events": tidings.stored(asked.webhook_events),
        "price_nano": quoted.amount_nano,
        "currency": asked.price.currency,
        "price_unit": asked.price.unit,
        "unit_nano": asked.price.nano,
        "quantity_micro": quoted.quantity_micro,
        "traceparent": asked.traceparent,
        "created_us": now_us,
        "max_attempts": asked.max_attempts or most_attempts(asked.retries, attempts),
        "retries": None if asked.retries is None else json.dumps(dict(asked.retries)),
        "work": work_tokens(asked.generation) * asked.generation.steps * asked.generation.count,
    }
    return row, payload


def check_deadlines(asked: Submission, now_us: int) -> None:
    """Raises DeadlineUnreachable for one that has passed."""
    for name, moment in (("start_by", asked.start_by_us), ("finish_by", asked.finish_by_us)):
        if moment is not None and moment <= now_us:
            raise DeadlineUnreachable(f"{name} lies {(now_us - moment) / 1e6:.3f} s in the past; give a later time")


def admit(
    connection: Connection, places: Places, asked: Submission, row: Any, payload: Any, queue_length: int
) -> Receipt:
    """Insert it. Raises QueueFull where too many wait, what its tenant's limits say (`laterna.tenants.limits`),
    OutOfBudget where its quote is more than its tenant may spend, Conflict where its idempotency key is another's.
    """
    if asked.idempotency_key is not None:
        earlier = waiting.of_idempotency_key(connection, asked.tenant, asked.idempotency_key)
        if earlier is not None:
            return _repeated(connection, places, asked, earlier, payload["raw_input"])
    _room(connection, asked, queue_length)
    limits.admit(connection, asked.tenant, row["created_us"], direct=asked.direct)
    warning = purses.admit(connection, asked.tenant, row["currency"], row["price_nano"], row["created_us"])
    ahead = places.ahead(connection, (asked.priority, row["created_us"], row["id"]))
    waiting.submit(connection, row, payload)
    return Receipt(
        request_id=row["id"],
        position=ahead,
        price_nano=row["price_nano"],
        currency=row["currency"],
        quantity_micro=row["quantity_micro"],
        warning=warning,
        created_us=row["created_us"],
        repeated=False,
    )


def _room(connection: Connection, asked: Submission, queue_length: int) -> None:
    if waiting.length(connection) >= queue_length:
        raise QueueFull(f"{queue_length} requests wait already (setting queue_length); try again later")
    most = asked.max_queue_length
    if most is not None and waiting.length(connection, asked.card_id) >= most:
        raise QueueFull(f"{most} requests or more wait for {asked.card_id!r} already (fal_max_queue_length); try later")


def _repeated(connection: Connection, places: Places, asked: Submission, earlier: Any, raw_input: bytes) -> Receipt:
    same_input = earlier.raw_input is None or earlier.raw_input == raw_input
    if earlier.endpoint != asked.endpoint or not same_input:
        raise Conflict(f"the idempotency key {asked.idempotency_key!r} was used for another request; use a new one")
    view = view_of(connection, places, asked.tenant, earlier.id)
    return Receipt(
        request_id=view.request_id,
        position=view.position or 0,
        price_nano=view.price_nano,
        currency=view.currency,
        quantity_micro=view.quantity_micro,
        warning=None,
        created_us=view.created_us,
        repeated=True,
    )
