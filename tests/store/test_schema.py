"""The database itself refuses what must not be, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import IntegrityError

from laterna.store.migrate import migrate
from laterna.store.schema import events, outputs, requests, tenants, usage_lines
from laterna.store.states import HELD, SETTLED, STATES, TRANSITIONS, WAITING
from tests.postgres import writing_engine

REQUEST: dict[str, Any] = {
    "id": "r",
    "tenant_id": "t",
    "dialect": "fal",
    "endpoint": "a/b",
    "card_id": "a/b",
    "model_revision": "1",
    "priority": 1,
    "store_io": True,
    "price_nano": 0,
    "currency": "USD",
    "created_us": 1,
    "max_attempts": 3,
    "state": "queued",
}
LEASE = {"lease_token": "x", "lease_worker": "w", "lease_expires_us": 9}
NO_LEASE = dict.fromkeys(LEASE)
WAYS = {
    "blocked": ["blocked"],
    "scheduled": ["scheduled"],
    "queued": ["queued"],
    "leased": ["queued", "leased"],
    "running": ["queued", "leased", "running"],
    "settled": ["queued", "settled"],
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = writing_engine(tmp_path)
    migrate(engine)
    with engine.connect() as opened, opened.begin():
        opened.execute(insert(tenants), {"id": "t", "name": "t", "created_us": 1})
        yield opened


def fields(state: str) -> dict[str, Any]:
    """Everything that a row in this state must and must not have."""
    given: dict[str, Any] = {"state": state, "outcome": None, "settled_us": None, "started_us": None, **NO_LEASE}
    if state in HELD:
        given |= LEASE | {"started_us": 5}
    if state == SETTLED:
        given |= {"outcome": "ok", "settled_us": 6}
    if state == "scheduled":
        given |= {"not_before_us": 7}
    return given


def bring(connection: Connection, state: str) -> None:
    first, *others = WAYS[state]
    connection.execute(insert(requests), {**REQUEST, **fields(first)})
    for step in others:
        connection.execute(update(requests).values(fields(step)))


@pytest.mark.parametrize("old", STATES)
def test_only_legal_ways_are_open(connection: Connection, old: str) -> None:
    for new in STATES:
        with connection.begin_nested() as point:
            bring(connection, old)
            change = update(requests).values(fields(new))
            if new in TRANSITIONS[old] or (new == old and old != SETTLED):
                connection.execute(change)
            else:
                with pytest.raises(IntegrityError):
                    connection.execute(change)
            point.rollback()


@pytest.mark.parametrize("state", [*HELD, SETTLED])
def test_a_request_begins_waiting(connection: Connection, state: str) -> None:
    with pytest.raises(IntegrityError):
        connection.execute(insert(requests), {**REQUEST, **fields(state)})
    assert set(WAITING) | {*HELD, SETTLED} == set(STATES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "dreaming"},
        {"outcome": "ok"},
        {"settled_us": 1},
        {"error_code": "x"},
        {"priority": 3},
        {"attempts": 4},
        {"attempts": -1},
        {"price_nano": -1},
        {"lease_token": "x"},
        {"tenant_id": "stranger"},
        {"state": "scheduled"},
        {"state": SETTLED, "settled_us": 1},
        {"state": SETTLED, "outcome": "failed", "settled_us": 1},
        {"state": "leased"},
    ],
)
def test_rows_that_contradict_themselves_are_refused(connection: Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        connection.execute(insert(requests), {**REQUEST, **wrong})


@pytest.mark.parametrize("late", [{"outcome": "failed"}, {"settled_us": 9}, {"attempts": 2}, {"price_nano": 1}])
def test_a_settled_request_does_not_change(connection: Connection, late: dict[str, Any]) -> None:
    bring(connection, SETTLED)
    with pytest.raises(IntegrityError):
        connection.execute(update(requests).values(late))


@pytest.mark.parametrize("state", STATES)
def test_requests_are_kept(connection: Connection, state: str) -> None:
    bring(connection, state)
    with pytest.raises(IntegrityError):
        connection.execute(text("DELETE FROM requests"))


def usage(amount: int) -> dict[str, Any]:
    line = {"tenant_id": "t", "request_id": "r", "attempt": 1, "outcome": "ok", "stage": "encode", "calls": 1}
    return {**line, "device_ns": 1, "amount_nano": amount, "currency": "USD", "created_us": 1}


def test_nothing_is_charged_or_put_out_after_settling(connection: Connection) -> None:
    bring(connection, SETTLED)
    for late in (
        insert(usage_lines).values(usage(1)),
        insert(outputs).values(request_id="r", index=0, seed=1, file_key="k"),
    ):
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(late)


def test_usage_and_events_are_only_added(connection: Connection) -> None:
    bring(connection, "running")
    connection.execute(insert(usage_lines), usage(0))
    connection.execute(insert(events), {"request_id": "r", "seq": 1, "time_us": 1, "kind": "log", "message": "x"})
    for change in ("UPDATE usage_lines SET device_ns = 0", "DELETE FROM usage_lines", "DELETE FROM events"):
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(text(change))
    with pytest.raises(IntegrityError):
        connection.execute(update(events).values(message="y"))
