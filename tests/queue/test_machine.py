"""Whatever workers, owners, clocks and crashes do in any order: nothing is lost, nothing settles twice, usage adds up.

A model in plain Python follows every step; after each one the database is compared with it.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from laterna.billing.quotes import Price
from laterna.contracts.messages import Lease
from laterna.errors import AlreadyCompleted
from laterna.requests.requests import Requests
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import SPENT, World, artifact, failed, finished, world

T = TypeVar("T")

LEASE_SECONDS = 10
PRICE = 11
SPENT_NS = 105  # of `conftest.SPENT`


@dataclass
class Known:
    """What the model knows of a request."""

    max_attempts: int
    webhook: bool
    state: str = "queued"
    outcome: str | None = None
    attempts: int = 0
    failures: int = 0  # that may pass
    token: str | None = None
    until_us: int = 0
    ready_us: int = 0  # of a scheduled one
    start_by_us: int | None = None
    cancelled: bool = False
    device_ns: int = 0
    settled_us: int | None = None


@cache
def empty_folder() -> Path:
    """A data folder as a first start leaves it, made once."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)

    async def first_start() -> None:
        async with world(folder):
            pass

    asyncio.run(first_start())
    return folder


class Life:
    """The model, and the store that it follows."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(empty_folder(), self.folder, dirs_exist_ok=True)
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.w: World = self.run(self.stack.enter_async_context(world(self.folder, lease_seconds=LEASE_SECONDS)))
        self.known: dict[str, Known] = {}
        self.leases: list[Lease] = []  # all that ever were
        self.holders: dict[str, str] = {}  # request -> worker
        self.unmetered: set[str] = set()  # tokens of attempts whose usage is to be told, their lease held or not

    def run(self, scene: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(scene)

    def end(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    # The model's own steps.

    def settle(self, one: Known, outcome: str) -> None:
        assert one.state != "settled"
        one.state, one.outcome, one.token, one.settled_us = "settled", outcome, None, self.w.clock.now_us()

    def back(self, one: Known, counted: bool, delay_s: int = 0, final: str = "failed") -> None:
        if one.cancelled:
            self.settle(one, "cancelled")
        elif counted and one.attempts >= one.max_attempts:
            self.settle(one, final)
        else:
            if not counted:
                self.unmetered.discard(one.token or "")
            one.attempts -= not counted
            one.state, one.token = "scheduled" if delay_s else "queued", None
            one.ready_us = self.w.clock.now_us() + delay_s * 1_000_000

    def told_usage(self, lease: Lease) -> bool:
        """It counts the first time that it is told, however late."""
        first = lease.token in self.unmetered
        self.unmetered.discard(lease.token)
        self.known[lease.request_id].device_ns += SPENT_NS * first
        return first

    def holding(self, lease: Lease) -> Known | None:
        """What the lease holds by the model; None for a stale one."""
        one = self.known[lease.request_id]
        return one if one.token == lease.token else None

    def picked(self, number: int) -> list[tuple[Lease, Known | None]]:
        """A lease and what it holds, live ones more often than stale ones; nothing where there never was one."""
        if not self.leases:
            return []
        live = [lease for lease in self.leases if self.holding(lease) is not None]
        chosen = live if live and number % 4 else self.leases
        lease = chosen[number // 4 % len(chosen)]
        return [(lease, self.holding(lease))]

    # What happens. `number` decides whatever else is to be decided.

    def submit(self, number: int) -> None:
        most, webhook, start_in = 1 + number % 3, bool(number & 4), number // 8 % 60
        start_by = self.w.clock.now_us() + start_in * 1_000_000 if 0 < start_in < 30 else None
        request_id = self.run(
            self.w.submit(
                max_attempts=most,
                webhook_url="https://example.org" if webhook else None,
                start_by_us=start_by,
                priority=number % 3,
                price=Price(unit="image", nano=PRICE),
            )
        )
        self.known[request_id] = Known(max_attempts=most, webhook=webhook, start_by_us=start_by)

    def lease(self, number: int) -> None:
        worker, most = ("cpu", "gpu")[number % 2], 1 + number // 2 % 4
        for one in self.known.values():
            if one.state == "scheduled" and one.ready_us <= self.w.clock.now_us():
                one.state = "queued"
        for leased in self.run(self.w.requests.lease(worker, most)):
            one = self.known[leased.lease.request_id]
            assert one.state == "queued"
            assert leased.attempt == one.attempts + 1
            assert leased.lease.token not in {lease.token for lease in self.leases}
            one.state, one.token, one.attempts = "leased", leased.lease.token, leased.attempt
            one.until_us = self.w.clock.now_us() + LEASE_SECONDS * 1_000_000
            self.leases.append(leased.lease)
            self.unmetered.add(leased.lease.token)
            self.holders[leased.lease.request_id] = worker

    def start(self, number: int) -> None:
        for lease, one in self.picked(number):
            assert self.run(self.w.requests.started(lease)) == (one is not None and one.state == "leased")
            if one is not None:
                one.state = "running"

    def finish(self, number: int) -> None:
        for lease, one in self.picked(number):
            made = artifact(lease, key=f"{lease.token}-{number}")
            assert self.run(self.w.requests.finish(finished(lease, made))) == (one is not None)
            self.told_usage(lease)
            if one is not None:
                self.settle(one, "ok")

    def fail(self, number: int) -> None:
        code, outcome = [("client_cancelled", "cancelled"), ("sample_failed", "failed")][number % 2]
        for lease, one in self.picked(number):
            assert self.run(self.w.requests.fail(failed(lease, code=code))) == (one is not None)
            self.told_usage(lease)
            if one is not None:
                self.settle(one, outcome)

    def fail_for_now(self, number: int) -> None:
        for lease, one in self.picked(number):
            assert self.run(self.w.requests.fail(failed(lease, retry=True))) == (one is not None)
            self.told_usage(lease)
            if one is not None:
                self.back(one, counted=True, delay_s=(1, 5, 30)[one.failures])
                one.failures += 1

    def meter(self, number: int) -> None:
        for lease, _ in self.picked(number):
            assert self.run(self.w.requests.meter(lease, SPENT)) == self.told_usage(lease)

    def release(self, number: int) -> None:
        for lease, one in self.picked(number):
            self.run(self.w.requests.release([lease]))
            if one is not None:
                self.back(one, counted=False)

    def crash(self, number: int) -> None:
        for lease, one in self.picked(number):
            touched = bool(number & 1)
            self.run(self.w.requests.crashed(lease, "it died", touched))
            if one is not None:
                self.back(one, counted=touched or one.state == "running")

    def renew(self, number: int) -> None:
        wanted = [lease for position, lease in enumerate(self.leases[-8:]) if number >> position & 1]
        lost = self.run(self.w.requests.renew(wanted))
        assert lost == [lease for lease in wanted if self.holding(lease) is None]
        for lease in wanted:
            one = self.holding(lease)
            if one is not None:
                one.until_us = self.w.clock.now_us() + LEASE_SECONDS * 1_000_000

    def cancel(self, number: int) -> None:
        if not self.known:
            return
        request_id = sorted(self.known)[number % len(self.known)]
        one = self.known[request_id]
        if one.state == "settled":
            with pytest.raises(AlreadyCompleted):
                self.run(self.w.requests.cancel(DEFAULT_TENANT, request_id))
            return
        answer = self.run(self.w.requests.cancel(DEFAULT_TENANT, request_id))
        assert answer.settled == (one.token is None)
        if answer.settled:
            self.settle(one, "cancelled")
        else:
            one.cancelled = True

    def time_goes_by(self, number: int) -> None:
        self.w.clock.advance(number % 16)
        now = self.w.clock.now_us()
        changed = set(self.run(self.w.requests.reclaim()))
        expected = set()
        for request_id, one in self.known.items():
            if one.token is not None and one.until_us <= now:
                self.back(one, counted=one.state == "running")
                expected.add(request_id)
            if one.start_by_us is not None and one.start_by_us <= now and one.state not in ("running", "settled"):
                self.settle(one, "expired")
                expected.add(request_id)
        assert changed == expected

    def server_dies(self, _number: int) -> None:
        self.w.requests = Requests(self.w.store, self.w.clock, self.w.settings)
        self.run(self.w.requests.recover())
        for one in self.known.values():
            if one.token is not None:
                self.back(one, counted=False)

    # What holds at all times.

    def check(self) -> None:
        found = self.run(self.w.store.read(lambda c: [[tuple(row) for row in c.execute(text(q))] for q in QUERIES]))
        rows, settlings, outputs, told, charged, used, attempts = found
        assert {row[0]: row[1:] for row in rows} == {
            request_id: (one.state, one.outcome, one.attempts, one.token, one.settled_us, one.cancelled)
            for request_id, one in self.known.items()
        }
        settled = {request_id: one for request_id, one in self.known.items() if one.state == "settled"}
        ok = {request_id for request_id, one in settled.items() if one.outcome == "ok"}
        assert dict(settlings) == dict.fromkeys(settled, 1)
        assert dict(outputs) == dict.fromkeys(ok, 1)
        assert dict(told) == dict.fromkeys((request_id for request_id, one in settled.items() if one.webhook), 1)
        assert dict(charged) == dict.fromkeys(ok, PRICE)
        assert dict(used) == {request_id: one.device_ns for request_id, one in self.known.items() if one.device_ns}
        for request_id, count, last, going in attempts:
            one = self.known[request_id]
            assert (count, last, going) == (one.attempts, one.attempts, one.token is not None)
        self.last_attempts_are_alone()

    def last_attempts_are_alone(self) -> None:
        for worker in ("cpu", "gpu"):
            held = [one for r, one in self.known.items() if one.token is not None and self.holders[r] == worker]
            last = [one for one in held if one.attempts > 1 and one.attempts == one.max_attempts]
            assert not last or len(held) == 1


QUERIES = (
    "SELECT id, state, outcome, attempts, lease_token, settled_us, cancel_us IS NOT NULL FROM requests",
    "SELECT request_id, COUNT(*) FROM events WHERE kind = 'settled' GROUP BY 1",
    "SELECT request_id, COUNT(*) FROM outputs GROUP BY 1",
    "SELECT request_id, COUNT(*) FROM outbox GROUP BY 1",
    "SELECT request_id, SUM(amount_nano) FROM usage_lines GROUP BY 1 HAVING SUM(amount_nano) > 0",
    "SELECT request_id, SUM(device_ns) FROM usage_lines GROUP BY 1",
    "SELECT request_id, COUNT(*), MAX(number), COUNT(*) FILTER (WHERE ended_us IS NULL) FROM attempts GROUP BY 1",
)
ACTIONS = (
    *[Life.submit] * 2,
    *[Life.lease] * 6,
    *[Life.start] * 3,
    *[Life.fail_for_now] * 2,
    *(Life.finish, Life.fail),
    *(Life.meter, Life.release, Life.crash, Life.renew, Life.cancel, Life.time_goes_by, Life.server_dies),
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10_000)), min_size=40, max_size=60)
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def follow(steps: list[tuple[Callable[[Life, int], None], int]]) -> None:
    life = Life()
    try:
        for number in range(4):
            life.submit(number)
        for act, number in steps:
            act(life, number)
            life.check()
    finally:
        life.end()


@QUICK
@given(STEPS)
def test_database_and_model_agree(steps: list[tuple[Callable[[Life, int], None], int]]) -> None:
    follow(steps)


@pytest.mark.slow
@settings(QUICK, max_examples=300)
@given(STEPS)
def test_database_and_model_agree_at_length(steps: list[tuple[Callable[[Life, int], None], int]]) -> None:
    follow(steps)
