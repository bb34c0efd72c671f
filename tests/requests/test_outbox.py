"""Webhooks: one for each settled request that asked for one, delivered at least once, given up in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from laterna.errors import EndpointNotFound
from laterna.requests.outbox import RETRY_SECONDS
from laterna.requests.requests import Requests, RequestView
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, failed, finished, world

URL = "https://example.org/hook"


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with world(folder) as w:
            await scene(w)

    asyncio.run(run())


def test_every_way_to_settle_tells_the_webhook_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        ok, bad, poison = [await w.leased(webhook_url=URL, max_attempts=1) for _ in range(3)]
        late, cancelled = (
            await w.submit(webhook_url=URL, start_by_us=w.clock.now_us() + 1),
            await w.submit(webhook_url=URL),
        )
        await w.submit()
        assert await w.requests.due_webhooks(99) == []
        await w.requests.finish(finished(ok.lease))
        await w.requests.fail(failed(bad.lease))
        await w.requests.crashed(poison.lease, "it died")
        await w.requests.cancel(DEFAULT_TENANT, cancelled)
        w.clock.advance(1)
        await w.requests.reclaim()
        due = await w.requests.due_webhooks(99)
        told = {delivery.request_id: json.loads(delivery.body)["outcome"] for delivery in due}
        expected = dict(zip((ok, bad, poison), ("ok", "failed", "failed"), strict=True))
        outcomes = {leased.lease.request_id: outcome for leased, outcome in expected.items()}
        assert told == {**outcomes, late: "expired", cancelled: "cancelled"}
        assert len(due) == len(told)
        for delivery in due:
            await w.requests.webhook_delivered(delivery)
        assert await w.requests.due_webhooks(99) == []

    play(tmp_path, scene)


def test_a_delivery_that_fails_is_tried_later_and_given_up_in_the_end(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.requests.finish(finished((await w.leased(webhook_url=URL)).lease))
        for tries, wait in enumerate(RETRY_SECONDS):
            [delivery] = await w.requests.due_webhooks(9)
            assert delivery.tries == tries
            await w.requests.webhook_failed(delivery, "answered 500")
            w.clock.advance(wait - 1)
            assert await w.requests.due_webhooks(9) == []
            w.clock.advance(1)
        [last] = await w.requests.due_webhooks(9)
        await w.requests.webhook_failed(last, "answered 500")
        w.clock.advance(10**6)
        assert await w.requests.due_webhooks(9) == []

    play(tmp_path, scene)


def test_a_hopeless_delivery_is_given_up_at_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.requests.finish(finished((await w.leased(webhook_url=URL)).lease))
        [delivery] = await w.requests.due_webhooks(9)
        await w.requests.webhook_failed(delivery, "it leads to a private address", permanent=True)
        w.clock.advance(10**6)
        assert await w.requests.due_webhooks(9) == []

    play(tmp_path, scene)


def test_one_body_that_cannot_be_made_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        def body(view: RequestView) -> bytes:
            if view.endpoint == "gone":
                raise EndpointNotFound("no such model any more")
            return b"{}"

        requests = Requests(w.store, w.clock, w.settings, body)
        for endpoint in ("gone", "there"):
            await requests.finish(finished((await w.leased(webhook_url=URL, endpoint=endpoint)).lease))
        [delivery] = await requests.due_webhooks(9)
        assert delivery.body == b"{}"
        await requests.webhook_delivered(delivery)
        w.clock.advance(RETRY_SECONDS[0])
        assert await requests.due_webhooks(9) == [], "its next try failed too, and waits"

    play(tmp_path, scene)
