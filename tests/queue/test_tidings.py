"""What comes before the end is told to those who asked, in its order, once; nobody else's costs a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from laterna.errors import Conflict
from laterna.queue import tidings
from laterna.requests.outbox import HEAD_START_SECONDS
from laterna.requests.requests import Delivery
from laterna.store import schema
from laterna.store.states import COMPLETED, LOGS, OUTPUT, START, WEBHOOK_EVENTS
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import TAKEN, World, failed, finished, refused, world

URL = "https://Example.org:8443/hook?a=b"


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with world(folder) as w:
            await scene(w)

    asyncio.run(run())


async def due(w: World) -> list[Delivery]:
    return [*await w.requests.due_tidings(99), *await w.requests.due_webhooks(99)]


async def rows(w: World) -> int:
    count = select(func.count()).select_from(schema.tidings)
    return int((await w.store.read(lambda c: c.execute(count).scalar_one())) or 0)


def test_all_is_told_in_order_and_the_end_last(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(webhook_url=URL, webhook_events=WEBHOOK_EVENTS)
        request = leased.lease.request_id
        assert leased.tells_logs
        await w.requests.logged([request])
        assert await due(w) == [], "it has not begun"
        await w.requests.started(leased.lease)
        await w.requests.logged([request])
        heard = list[str]()
        for _ in range(2):
            [delivery] = await due(w)
            assert (delivery.host, delivery.url, delivery.tries) == ("example.org:8443", URL, 0)
            assert await w.requests.due_tidings(9, [delivery.id]) == [], "one at a time"
            assert await w.requests.due_tidings(9, [], [delivery.host]) == []
            await w.requests.webhook_tried(delivery, TAKEN)
            heard.append(delivery.event)
        await w.requests.finish(finished(leased.lease))
        while found := await due(w):
            [delivery] = found
            await w.requests.webhook_tried(delivery, TAKEN)
            heard.append(delivery.event)
        assert heard == [START, LOGS, OUTPUT, COMPLETED]

    play(tmp_path, scene)


def test_whoever_did_not_ask_costs_no_row(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        silent, plain = await w.leased(), await w.leased(webhook_url=URL)
        quiet = await w.leased(webhook_events=WEBHOOK_EVENTS)
        for leased in (silent, plain, quiet):
            assert not leased.tells_logs
            await w.requests.started(leased.lease)
            await w.requests.finish(finished(leased.lease))
            assert await rows(w) == 0
        assert [one.request_id for one in await due(w)] == [plain.lease.request_id]

    play(tmp_path, scene)


def test_a_request_that_begins_again_has_started_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(webhook_url=URL, webhook_events=(START,))
        for _ in range(3):
            await w.requests.started(leased.lease)
            for delivery in await due(w):
                assert delivery.event == START
                await w.requests.webhook_tried(delivery, TAKEN)
            assert await rows(w) == 0
            await w.requests.release([leased.lease])
            [leased] = await w.requests.lease("cpu", 1)
        kinds = select(schema.events.c.kind).where(schema.events.c.request_id == leased.lease.request_id)
        seen = await w.store.read(lambda c: list(c.execute(kinds).scalars()))
        assert seen.count("started") == 3

    play(tmp_path, scene)


def test_news_that_nobody_heard_is_not_written_twice_and_the_end_tells_the_log(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(webhook_url=URL, webhook_events=(LOGS, COMPLETED))
        await w.requests.started(leased.lease)
        for _ in range(5):
            await w.requests.logged([leased.lease.request_id])
            assert await rows(w) == 1
        await w.requests.fail(failed(leased.lease))
        assert [one.event for one in await due(w)] == [COMPLETED]
        await w.requests.logged([leased.lease.request_id])
        assert await rows(w) == 0, "it is over"

    play(tmp_path, scene)


def test_what_comes_before_the_end_is_tried_once_and_holds_it_up_for_a_moment_at_most(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(webhook_url=URL, webhook_events=(START, OUTPUT, COMPLETED))
        await w.requests.started(leased.lease)
        [start] = await due(w)
        await w.requests.webhook_tried(start, refused())
        assert await due(w) == [], "it is not tried again"
        await w.requests.finish(finished(leased.lease))
        assert [one.event for one in await due(w)] == [OUTPUT]
        w.clock.advance(HEAD_START_SECONDS)
        output, end = await due(w)
        assert (output.event, end.event) == (OUTPUT, COMPLETED)
        await w.requests.webhook_tried(end, refused())
        assert await rows(w) == 0, "what was not told by then is void"
        await w.requests.webhook_tried(output, TAKEN)

    play(tmp_path, scene)


def test_an_end_that_was_not_asked_for_is_not_told(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(webhook_url=URL, webhook_events=(OUTPUT,))
        await w.requests.finish(finished(leased.lease))
        w.clock.advance(99)
        assert [one.event for one in await due(w)] == [OUTPUT]
        with pytest.raises(Conflict, match="leave out its end"):
            await w.requests.redeliver(DEFAULT_TENANT, leased.lease.request_id)
        assert await w.requests.webhook(DEFAULT_TENANT, leased.lease.request_id) is None

    play(tmp_path, scene)


@pytest.mark.parametrize("events", [(COMPLETED,), (START,), WEBHOOK_EVENTS])
def test_what_is_stored_is_read_again(events: tuple[str, ...]) -> None:
    assert tidings.read(tidings.stored(events)) == events
