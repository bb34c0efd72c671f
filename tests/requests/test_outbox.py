"""Webhooks: one for each settled request that asked for one, delivered at least once, given up in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from laterna.errors import Conflict, NotFinished, RequestNotFound
from laterna.requests.outbox import RETRY_SECONDS
from laterna.requests.requests import Webhook
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import TAKEN, World, failed, finished, refused, world

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
        await w.requests.started(poison.lease)
        await w.requests.crashed(poison.lease, "it died")
        await w.requests.cancel(DEFAULT_TENANT, cancelled)
        w.clock.advance(1)
        await w.requests.reclaim()
        due = await w.requests.due_webhooks(99)
        told = {d.request_id: json.loads(await w.requests.webhook_body(d))["outcome"] for d in due}
        expected = dict(zip((ok, bad, poison), ("ok", "failed", "failed"), strict=True))
        outcomes = {leased.lease.request_id: outcome for leased, outcome in expected.items()}
        assert told == {**outcomes, late: "expired", cancelled: "cancelled"}
        assert len(due) == len(told)
        for delivery in due:
            await w.requests.webhook_tried(delivery, TAKEN)
        assert await w.requests.due_webhooks(99) == []

    play(tmp_path, scene)


def test_a_delivery_that_fails_is_tried_later_and_given_up_in_the_end(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.requests.finish(finished((await w.leased(webhook_url=URL)).lease))
        for tries, wait in enumerate(RETRY_SECONDS):
            [delivery] = await w.requests.due_webhooks(9)
            assert delivery.tries == tries
            await w.requests.webhook_tried(delivery, refused())
            w.clock.advance(wait - 1)
            assert await w.requests.due_webhooks(9) == []
            w.clock.advance(1)
        [last] = await w.requests.due_webhooks(9)
        await w.requests.webhook_tried(last, refused())
        w.clock.advance(10**6)
        assert await w.requests.due_webhooks(9) == []

    play(tmp_path, scene)


def test_a_hopeless_delivery_is_given_up_at_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.requests.finish(finished((await w.leased(webhook_url=URL)).lease))
        [delivery] = await w.requests.due_webhooks(9)
        await w.requests.webhook_tried(delivery, refused(hopeless=True))
        w.clock.advance(10**6)
        assert await w.requests.due_webhooks(9) == []

    play(tmp_path, scene)


def test_what_is_on_its_way_and_hosts_that_are_busy_are_passed_over(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        urls = ["https://Slow.example/a", "https://slow.example?b", "https://other.example:444#c", "nonsense"]
        for url in urls:
            await w.requests.finish(finished((await w.leased(webhook_url=url)).lease))
        due = await w.requests.due_webhooks(9)
        assert [delivery.host for delivery in due] == ["slow.example", "slow.example", "other.example:444", ""]
        assert await w.requests.due_webhooks(9, busy_hosts=["slow.example"]) == due[2:]
        assert await w.requests.due_webhooks(9, [due[0].id, due[3].id]) == due[1:3]
        assert await w.requests.due_webhooks(1, [due[2].id], ["slow.example"]) == due[3:]

    play(tmp_path, scene)


async def told(w: World, request_id: str) -> Webhook:
    found = await w.requests.webhook(DEFAULT_TENANT, request_id)
    assert found is not None
    return found


def test_each_try_is_written_down_and_asking_anew_begins_the_schedule_again(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request = (await w.leased(webhook_url=URL)).lease
        assert await w.requests.webhook(DEFAULT_TENANT, request.request_id) is None
        await w.requests.finish(finished(request))
        for _ in range(2):
            for wait in (*RETRY_SECONDS, 1):
                [delivery] = await w.requests.due_webhooks(9)
                await w.requests.webhook_tried(delivery, refused())
                w.clock.advance(wait)
            assert await w.requests.due_webhooks(9) == []
            await w.requests.redeliver(DEFAULT_TENANT, request.request_id)
        [delivery] = await w.requests.due_webhooks(9)
        await w.requests.webhook_tried(delivery, TAKEN)
        view = await told(w, request.request_id)
        assert (view.url, view.next_us, view.delivered_us) == (URL, None, w.clock.now_us())
        assert [one.answer.status for one in view.tries] == [500] * 22 + [204]
        assert view.tries[-1] == TAKEN
        await w.requests.redeliver(DEFAULT_TENANT, request.request_id)
        [again] = await w.requests.due_webhooks(9)
        assert (again.id, again.tries) == (delivery.id, 0)
        assert (await told(w, request.request_id)).delivered_us is None

    play(tmp_path, scene)


def test_only_what_has_a_webhook_and_has_ended_is_told_anew_and_by_its_owner_alone(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        silent, waits = await w.leased(), await w.submit(webhook_url=URL)
        await w.requests.finish(finished(silent.lease))
        for tenant, request, expected in (
            (DEFAULT_TENANT, waits, NotFinished),
            (DEFAULT_TENANT, silent.lease.request_id, Conflict),
            (DEFAULT_TENANT, "nonsense", RequestNotFound),
            ("stranger", waits, RequestNotFound),
        ):
            with pytest.raises(expected):
                await w.requests.redeliver(tenant, request)
        assert await w.requests.due_webhooks(9) == []
        await w.requests.cancel(DEFAULT_TENANT, waits)
        assert await w.requests.webhook("stranger", waits) is None
        assert len(await w.requests.due_webhooks(9)) == 1

    play(tmp_path, scene)


def test_tries_are_forgotten_with_their_request_but_not_before_they_are_made(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for keep in (5, 5):
            await w.requests.finish(finished((await w.leased(webhook_url=URL, keep_seconds=keep)).lease))
        first, second = await w.requests.due_webhooks(9)
        await w.requests.webhook_tried(first, TAKEN)
        await w.requests.webhook_tried(second, refused())
        w.clock.advance(10)
        await w.requests.sweep()
        assert await w.requests.webhook(DEFAULT_TENANT, first.request_id) is None
        assert len((await told(w, second.request_id)).tries) == 1
        with pytest.raises(Conflict, match="expired"):
            await w.requests.redeliver(DEFAULT_TENANT, first.request_id)
        assert [one.id for one in await w.requests.due_webhooks(9)] == [second.id]

    play(tmp_path, scene)
