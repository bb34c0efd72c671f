"""Whatever workers, owners, clocks and crashes do in any order: nothing is lost, nothing settles twice, usage adds up.

A model in plain Python follows every step; after each one the database is compared with it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import text

from laterna.billing.quotes import Price
from laterna.contracts.messages import Lease
from laterna.errors import AlreadyCompleted
from laterna.requests.requests import Requests
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, artifact, failed, finished, world

T = TypeVar("T")

LEASE_SECONDS = 10
PRICE = 11
SPENT_NS = 105  # of `conftest.SPENT`
WORKERS = st.sampled_from(["cpu", "gpu"])
picks = st.integers(0, 10_000)


@dataclass
class Known:
    """What the model knows of a request."""

    max_attempts: int
    webhook: bool
    state: str = "queued"
    outcome: str | None = None
    attempts: int = 0
    token: str | None = None
    until_us: int = 0
    ready_us: int = 0  # of a scheduled one
    start_by_us: int | None = None
    cancelled: bool = False
    device_ns: int = 0
    settled_us: int | None = None


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.w: World = self.run(self.stack.enter_async_context(world(self.folder, lease_seconds=LEASE_SECONDS)))
        self.known: dict[str, Known] = {}
        self.leases: list[Lease] = []  # all that ever were
        self.holders: dict[str, str] = {}  # request -> worker

    def run(self, scene: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(scene)

    def teardown(self) -> None:
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
            one.attempts -= not counted
            one.state, one.token = "scheduled" if delay_s else "queued", None
            one.ready_us = self.w.clock.now_us() + delay_s * 1_000_000

    def holding(self, lease: Lease) -> Known | None:
        """What the lease holds by the model; None for a stale one."""
        one = self.known[lease.request_id]
        return one if one.token == lease.token else None

    def pick(self, number: int) -> Lease:
        """Any lease there ever was, live ones as often as stale ones."""
        live = [lease for lease in self.leases if self.holding(lease) is not None]
        chosen = live if live and number % 2 else self.leases
        return chosen[number // 2 % len(chosen)]

    # What happens.

    @rule(
        most=st.integers(1, 3),
        webhook=st.booleans(),
        start_in=st.none() | st.integers(1, 30),
        priority=st.integers(0, 2),
    )
    def submit(self, most: int, webhook: bool, start_in: int | None, priority: int) -> None:
        start_by = None if start_in is None else self.w.clock.now_us() + start_in * 1_000_000
        request_id = self.run(
            self.w.submit(
                max_attempts=most,
                webhook_url="https://example.org" if webhook else None,
                start_by_us=start_by,
                priority=priority,
                price=Price(unit="image", nano=PRICE),
            )
        )
        self.known[request_id] = Known(max_attempts=most, webhook=webhook, start_by_us=start_by)

    @rule(worker=WORKERS, most=st.integers(1, 4))
    def lease(self, worker: str, most: int) -> None:
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
            self.holders[leased.lease.request_id] = worker

    @precondition(lambda self: self.leases)
    @rule(number=picks)
    def start(self, number: int) -> None:
        lease = self.pick(number)
        one = self.holding(lease)
        assert self.run(self.w.requests.started(lease)) == (one is not None and one.state == "leased")
        if one is not None:
            one.state = "running"

    @precondition(lambda self: self.leases)
    @rule(number=picks)
    def finish(self, number: int) -> None:
        lease = self.pick(number)
        one = self.holding(lease)
        key = f"{lease.token}-{number}"
        done = self.run(self.w.requests.finish(finished(lease, artifact(lease, key=key))))
        assert done == (one is not None)
        if one is not None:
            one.device_ns += SPENT_NS
            self.settle(one, "ok")

    @precondition(lambda self: self.leases)
    @rule(number=picks, retry=st.booleans(), cancelled=st.booleans())
    def fail(self, number: int, retry: bool, cancelled: bool) -> None:
        lease = self.pick(number)
        one = self.holding(lease)
        code, outcome = ("client_cancelled", "cancelled") if cancelled else ("sample_failed", "failed")
        assert self.run(self.w.requests.fail(failed(lease, code=code, retry=retry))) == (one is not None)
        if one is not None:
            one.device_ns += SPENT_NS
            if retry:
                self.back(one, counted=True, delay_s=(1, 5, 30)[one.attempts - 1], final=outcome)
            else:
                self.settle(one, outcome)

    @precondition(lambda self: self.leases)
    @rule(number=picks, clean=st.booleans())
    def drop(self, number: int, clean: bool) -> None:
        lease = self.pick(number)
        one = self.holding(lease)
        self.run(self.w.requests.release([lease]) if clean else self.w.requests.crashed(lease, "it died"))
        if one is not None:
            self.back(one, counted=not clean)

    @precondition(lambda self: self.leases)
    @rule(numbers=st.lists(picks, max_size=4))
    def renew(self, numbers: list[int]) -> None:
        wanted = list({lease.token: lease for lease in map(self.pick, numbers)}.values())
        lost = self.run(self.w.requests.renew(wanted))
        assert lost == [lease for lease in wanted if self.holding(lease) is None]
        for lease in wanted:
            one = self.holding(lease)
            if one is not None:
                one.until_us = self.w.clock.now_us() + LEASE_SECONDS * 1_000_000

    @precondition(lambda self: self.known)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
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

    @rule(seconds=st.integers(0, 15))
    def time_goes_by(self, seconds: int) -> None:
        self.w.clock.advance(seconds)
        now = self.w.clock.now_us()
        changed = set(self.run(self.w.requests.reclaim()))
        expected = set()
        for request_id, one in self.known.items():
            if one.token is not None and one.until_us <= now:
                self.back(one, counted=True)
                expected.add(request_id)
            if one.start_by_us is not None and one.start_by_us <= now and one.state not in ("running", "settled"):
                self.settle(one, "expired")
                expected.add(request_id)
        assert changed == expected

    @rule()
    def server_dies(self) -> None:
        self.w.requests = Requests(self.w.store, self.w.clock, self.w.settings)
        self.run(self.w.requests.recover())
        for one in self.known.values():
            if one.token is not None:
                self.back(one, counted=one.state == "running")

    # What holds at all times.

    @invariant()
    def database_and_model_agree(self) -> None:
        fields = "id, state, outcome, attempts, lease_token, settled_us, cancel_us IS NOT NULL"
        found = {row[0]: tuple(row[1:]) for row in self.rows(f"SELECT {fields} FROM requests")}
        assert found == {
            request_id: (one.state, one.outcome, one.attempts, one.token, one.settled_us, one.cancelled)
            for request_id, one in self.known.items()
        }

    @invariant()
    def every_settling_has_its_traces_once(self) -> None:
        settled = {request_id: one for request_id, one in self.known.items() if one.state == "settled"}
        events = self.rows("SELECT request_id, COUNT(*) FROM events WHERE kind = 'settled' GROUP BY 1")
        assert dict(events) == dict.fromkeys(settled, 1)
        ok = {request_id for request_id, one in settled.items() if one.outcome == "ok"}
        assert dict(self.rows("SELECT request_id, COUNT(*) FROM outputs GROUP BY 1")) == dict.fromkeys(ok, 1)
        told = {request_id for request_id, one in settled.items() if one.webhook}
        assert dict(self.rows("SELECT request_id, COUNT(*) FROM outbox GROUP BY 1")) == dict.fromkeys(told, 1)
        charged = self.rows(
            "SELECT request_id, SUM(amount_nano) FROM usage_lines GROUP BY 1 HAVING SUM(amount_nano) > 0"
        )
        assert dict(charged) == dict.fromkeys(ok, PRICE)

    @invariant()
    def usage_adds_up(self) -> None:
        used = self.rows("SELECT request_id, SUM(device_ns) FROM usage_lines GROUP BY 1")
        assert dict(used) == {request_id: one.device_ns for request_id, one in self.known.items() if one.device_ns}

    @invariant()
    def attempts_are_told_one_by_one(self) -> None:
        counted = self.rows("SELECT request_id, COUNT(*), MAX(number), SUM(ended_us IS NULL) FROM attempts GROUP BY 1")
        for request_id, count, last, going in counted:
            one = self.known[request_id]
            assert (count, last, going) == (one.attempts, one.attempts, one.token is not None)

    @invariant()
    def last_attempts_are_alone(self) -> None:
        for worker in ("cpu", "gpu"):
            held = [one for r, one in self.known.items() if one.token is not None and self.holders[r] == worker]
            last = [one for one in held if one.attempts > 1 and one.attempts == one.max_attempts]
            assert not last or len(held) == 1

    def rows(self, query: str) -> list[Any]:
        return self.run(self.w.store.read(lambda c: [tuple(row) for row in c.execute(text(query))]))


QUICK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)

TestLife = Life.TestCase
TestLife.settings = QUICK


class ThoroughLife(Life):
    pass


TestThoroughLife = pytest.mark.slow(ThoroughLife.TestCase)
TestThoroughLife.settings = settings(QUICK, max_examples=300, stateful_step_count=60)
