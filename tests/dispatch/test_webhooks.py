"""Deliveries over real connections: none waits for another, none is made twice at a time, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest

from laterna.dispatch import webhooks
from laterna.dispatch.shared_secrets import SharedSecrets
from laterna.dispatch.signing import SigningKeys
from laterna.dispatch.webhooks import PER_HOST, Webhooks
from laterna.errors import EndpointNotFound, Unavailable
from laterna.media.fetch import Fetcher
from laterna.requests.outbox import HEAD_START_SECONDS, RETRY_SECONDS
from laterna.requests.requests import Delivery, Requests, Told, Try, Webhook
from laterna.store.states import COMPLETED, LOGS, OUTPUT, START, WEBHOOK_EVENTS
from laterna.tenants.keys import DEFAULT_TENANT
from tests.media.sites import Handler, Site, page, site
from tests.requests.conftest import World, finished, world

LONG_AFTER = 10**6  # seconds: past every retry


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "IDLE_SECONDS", 0.01)


@asynccontextmanager
async def delivering(w: World, requests: Requests | None = None, logged: set[str] | None = None) -> AsyncIterator[None]:
    fetcher, keys = Fetcher(allow=(ip_network("127.0.0.0/8"),)), SigningKeys.open(w.settings.data, w.clock)
    shared = SharedSecrets.open(w.settings.data, w.clock)
    news = set() if logged is None else logged
    task = asyncio.create_task(Webhooks(requests or w.requests, fetcher, keys, shared, w.clock, news).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settled(w: World, url: str, **changes: str) -> str:
    leased = await w.leased(webhook_url=url, **changes)
    await w.requests.finish(finished(leased.lease))
    return leased.lease.request_id


async def told(w: World, request: str) -> Webhook:
    found = await w.requests.webhook(DEFAULT_TENANT, request)
    assert found is not None
    return found


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


def heard(receiver: Site, bodies: int) -> bool:
    return len(receiver.bodies) == bodies


async def nothing_due(w: World) -> None:
    for _ in range(3000):
        if not await w.requests.due_webhooks(99) and not await w.requests.due_tidings(99):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("something stays due")


def waits_for(gate: asyncio.Event) -> Handler:
    async def handler(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await page()(writer)

    return handler


async def test_a_slow_host_holds_up_nobody_and_is_told_one_by_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as slow, site() as quick:
        gate = asyncio.Event()
        slow.pages["/"], quick.pages["/"] = waits_for(gate), page()
        first = [await settled(w, slow.url("/")) for _ in range(3 * webhooks.AT_ONCE)]
        w.clock.advance(0.001)
        later = [await settled(w, quick.url("/")) for _ in range(20)]
        async with delivering(w):
            await until(lambda: len(quick.requests) == len(later))
            assert len(slow.requests) == PER_HOST
            gate.set()
            await until(lambda: len(slow.requests) == len(first))
            await nothing_due(w)
        assert all(request in "".join(slow.requests) for request in first)


async def test_nothing_is_on_its_way_twice_and_what_a_stop_cut_off_is_delivered_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        gate = asyncio.Event()
        receiver.pages["/"] = waits_for(gate)
        await settled(w, receiver.url("/"))
        async with delivering(w):
            await until(lambda: len(receiver.requests) == 1)
            await asyncio.sleep(0.1)
            assert len(receiver.requests) == 1
        [cut_off] = await w.requests.due_webhooks(9)
        assert cut_off.tries == 0, "a stop of ours is no failure of theirs"
        gate.set()
        async with delivering(w):
            await nothing_due(w)
        assert len(receiver.requests) == 2


class Bodies:
    """A maker of bodies that breaks in every way."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, about: Told) -> bytes:
        if self.broken and about.view.endpoint == "gone":
            raise EndpointNotFound("no such model any more")
        if self.broken and about.view.endpoint == "bug":
            raise ZeroDivisionError("a bug")
        return b"{}"


async def test_whatever_goes_wrong_is_a_try_that_is_made_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        bodies = Bodies()
        requests = Requests(w.store, w.clock, w.settings, bodies)
        receiver.pages["/"], receiver.pages["/no"] = page(), page(status="500 No")
        for endpoint in ("gone", "bug", "there"):
            await settled(w, receiver.url("/"), endpoint=endpoint)
        for url in (receiver.url("/no"), "http://127.0.0.1:1024/", "nonsense://", "http://[::1/"):
            await settled(w, url)
        async with delivering(w, requests):
            await nothing_due(w)
            assert receiver.bodies.count(b"{}") == 2, "the one that could be made, and the one that was not taken"
            w.clock.advance(RETRY_SECONDS[0])
            tries = {d.url: d.tries for d in await w.requests.due_webhooks(9)}
            assert set(tries) >= {receiver.url("/")}
            bodies.broken = False
            receiver.pages["/no"] = page()
            await until(lambda: len(receiver.requests) >= 5)
            await nothing_due(w)
        assert len(receiver.requests) == 5


async def test_a_redirect_and_a_private_address_are_never_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        receiver.pages["/"] = page(status="301 Moved", Location="/other")
        moved, private = await settled(w, receiver.url("/")), await settled(w, "http://10.0.0.1/")
        async with delivering(w):
            await nothing_due(w)
        answers = [(await told(w, request)).tries[0].answer for request in (moved, private)]
        assert [answer.status for answer in answers] == [301, None]
        assert "10.0.0.1" in (answers[1].error or "")
        w.clock.advance(LONG_AFTER)
        assert await w.requests.due_webhooks(9) == []
        assert len(receiver.requests) == 1


class Busy(Requests):
    """Its store cannot write for a while."""

    refusals = 3

    async def webhook_tried(self, delivery: Delivery, went: Try) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise Unavailable("the disk is full")
        await super().webhook_tried(delivery, went)


async def test_a_store_that_cannot_write_makes_no_receiver_hear_it_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        receiver.pages["/"] = page()
        await settled(w, receiver.url("/"))
        async with delivering(w, Busy(w.store, w.clock, w.settings)):
            await nothing_due(w)
        assert len(receiver.requests) == 1


def event_alone(about: Told) -> bytes:
    return about.event.encode()


async def test_what_comes_before_the_end_arrives_before_it_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        receiver.pages["/"], logged = page(), set[str]()
        requests = Requests(w.store, w.clock, w.settings, event_alone)
        async with delivering(w, requests, logged):
            leased = await w.leased(webhook_url=receiver.url("/"), webhook_events=WEBHOOK_EVENTS)
            await w.requests.started(leased.lease)
            logged.add(leased.lease.request_id)
            await until(lambda: len(receiver.bodies) == 2)
            assert not logged
            await w.requests.finish(finished(leased.lease))
            await until(lambda: len(receiver.bodies) == 4)
            await nothing_due(w)
        assert [body.decode() for body in receiver.bodies] == [START, LOGS, OUTPUT, COMPLETED]


async def test_a_log_is_told_again_after_half_a_second_and_no_sooner(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        receiver.pages["/"], logged = page(), set[str]()
        async with delivering(w, logged=logged):
            leased = await w.leased(webhook_url=receiver.url("/"), webhook_events=(LOGS,))
            await w.requests.started(leased.lease)
            for told in range(1, 4):
                logged.add(leased.lease.request_id)
                await until(partial(heard, receiver, told))
                for _ in range(20):
                    logged.add(leased.lease.request_id)
                    await asyncio.sleep(0.01)
                assert len(receiver.bodies) == told, "the clock stands still"
                w.clock.advance(webhooks.LOG_SECONDS)


async def test_a_receiver_that_hangs_at_what_comes_before_holds_up_no_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as receiver:
        gate = asyncio.Event()
        requests = Requests(w.store, w.clock, w.settings, event_alone)

        async def handler(writer: asyncio.StreamWriter) -> None:
            if receiver.bodies[-1] != COMPLETED.encode():
                await gate.wait()
            await page()(writer)

        receiver.pages["/"] = handler
        many = 3 * PER_HOST
        for _ in range(many):
            leased = await w.leased(webhook_url=receiver.url("/"), webhook_events=WEBHOOK_EVENTS)
            await w.requests.started(leased.lease)
            await w.requests.finish(finished(leased.lease))
        async with delivering(w, requests):
            await until(lambda: receiver.bodies.count(START.encode()) == PER_HOST)
            assert COMPLETED.encode() not in receiver.bodies
            w.clock.advance(HEAD_START_SECONDS)
            await until(lambda: receiver.bodies.count(COMPLETED.encode()) == many)
            await nothing_due(w)
            assert len(receiver.bodies) == many + PER_HOST, "what was not begun by then is void"
