"""Whatever tenants, workers, clocks and crashes do in any order: the books add up, and no limit is ever exceeded.

A model in plain Python says what each request costs and whether a submit fits; the database is compared with it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from laterna.billing.books import Books
from laterna.billing.purses import Limits, month_of
from laterna.billing.quotes import Price
from laterna.contracts.messages import Lease
from laterna.errors import AlreadyCompleted, OutOfBudget
from laterna.requests.requests import Requests
from laterna.tenants.keys import DEFAULT_TENANT
from tests.billing.conftest import faults, tenant
from tests.queue.test_machine import empty_folder
from tests.requests.conftest import SPENT, World, artifact, failed, finished, job, world

T = TypeVar("T")
MONTHLY, PREPAID = "monthly", "prepaid"
LIMIT = 5000  # of MONTHLY


@dataclass
class Asked:
    """What the model knows of a request."""

    tenant: str
    quoted: int
    cancelled: bool = False
    charged: int = 0


class Shop:
    """The model, and the store that it follows."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(empty_folder(), self.folder, dirs_exist_ok=True)
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.w: World = self.run(self.stack.enter_async_context(world(self.folder)))
        self.books: Books = self.run(tenant(self.w, MONTHLY))
        self.run(tenant(self.w, PREPAID))
        self.run(self.books.limit(MONTHLY, "USD", Limits(monthly_nano=LIMIT)))
        self.run(self.books.limit(PREPAID, "USD", Limits(prepaid=True)))
        self.asked: dict[str, Asked] = {}
        self.leases: list[Lease] = []
        self.credit = {DEFAULT_TENANT: 0, MONTHLY: 0, PREPAID: 0}
        self.paid: set[tuple[str, int, int]] = set()  # references
        self.month, self.spent = 0, 0  # of MONTHLY; a month never comes back

    def run(self, scene: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(scene)

    def end(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    # The model's own steps.

    def settled(self, request_id: str) -> bool:
        one = self.asked[request_id]
        return self.run(self.w.requests.get(one.tenant, request_id)).settled

    def held(self, name: str) -> int:
        return sum(one.quoted for r, one in self.asked.items() if one.tenant == name and not self.settled(r))

    def charge(self, one: Asked, amount: int) -> None:
        assert one.charged == 0
        one.charged = amount
        self.credit[one.tenant] -= amount
        if one.tenant == MONTHLY and amount:
            self.turn()
            self.spent += amount

    def turn(self) -> None:
        now = month_of(self.w.clock.now_us())
        if now > self.month:
            self.month, self.spent = now, 0

    def picked(self, number: int) -> Lease | None:
        """Live ones and stale ones."""
        recent = self.leases[-6:]
        return recent[number % len(recent)] if recent else None

    # What happens. `number` decides whatever else is to be decided.

    def submit(self, number: int) -> None:
        name = (DEFAULT_TENANT, MONTHLY, PREPAID)[number % 3]
        price = Price(unit=("image", "request", "megapixel")[number // 3 % 3], nano=number * 37 % 2000)
        work = job(count=1 + number % 2)
        quoted = {"image": price.nano * work.count, "request": price.nano}.get(
            price.unit, -(-price.nano * 64 * 64 * work.count // 10**6)
        )
        fits = True
        if quoted and name == MONTHLY:
            self.turn()
            fits = self.spent + self.held(name) + quoted <= LIMIT
        elif quoted and name == PREPAID:
            fits = self.credit[name] - self.held(name) >= quoted
        if not fits:
            with pytest.raises(OutOfBudget):
                self.run(self.w.submit(tenant=name, price=price, generation=work))
            return
        request_id = self.run(self.w.submit(tenant=name, price=price, generation=work, max_attempts=1 + number % 3))
        self.asked[request_id] = Asked(tenant=name, quoted=quoted)

    def lease(self, number: int) -> None:
        for leased in self.run(self.w.requests.lease(("cpu", "gpu")[number % 2], 1 + number % 4)):
            self.leases.append(leased.lease)
            if number % 3:
                self.run(self.w.requests.started(leased.lease))

    def finish(self, number: int) -> None:
        lease = self.picked(number)
        if lease is None:
            return
        made = artifact(lease, key=f"{lease.token}-{number}")
        if self.run(self.w.requests.finish(finished(lease, made))):
            one = self.asked[lease.request_id]
            self.charge(one, one.quoted)

    def fail(self, number: int) -> None:
        lease = self.picked(number)
        if lease is None:
            return
        done, steps, retry = number % 5, 4, not number % 3
        code = ("client_cancelled", "sample_failed")[number // 5 % 2]
        held = self.run(self.w.requests.fail(failed(lease, code=code, done=done, steps=steps, retry=retry)))
        one = self.asked[lease.request_id]
        if held and one.cancelled and code == "client_cancelled" and not retry:
            self.charge(one, one.quoted * min(done, steps) // steps)

    def crash(self, number: int) -> None:
        lease = self.picked(number)
        if lease is not None:
            self.run(self.w.requests.meter(lease, SPENT))
            self.run(self.w.requests.crashed(lease, "it died", touched=bool(number & 1)))

    def release(self, number: int) -> None:
        lease = self.picked(number)
        if lease is not None:
            self.run(self.w.requests.release([lease]))

    def cancel(self, number: int) -> None:
        if not self.asked:
            return
        request_id = sorted(self.asked)[number % len(self.asked)]
        try:
            self.run(self.w.requests.cancel(self.asked[request_id].tenant, request_id))
        except AlreadyCompleted:
            return
        self.asked[request_id].cancelled = True

    def pay(self, number: int) -> None:
        name = (MONTHLY, PREPAID)[number % 2]
        for _ in range(1 + number % 2):
            self.run(self.books.pay(name, "USD", 1 + number, reference=f"r{len(self.leases)}-{number}"))
        key = (name, len(self.leases), number)
        if key not in self.paid:
            self.paid.add(key)
            self.credit[name] += 1 + number

    def time_goes_by(self, number: int) -> None:
        self.w.clock.advance((1, 11, 3600, 31 * 86_400, -40 * 86_400)[number % 5])
        self.run(self.w.requests.reclaim())

    def server_dies(self, _number: int) -> None:
        self.w.requests = Requests(self.w.store, self.w.clock, self.w.settings)
        self.run(self.w.requests.recover())

    # What holds at all times.

    def check(self) -> None:
        assert self.run(faults(self.w)) == []
        query = text("SELECT request_id, amount_nano FROM entries WHERE kind = 'charge'")
        charged = self.run(self.w.store.read(lambda c: {row[0]: row[1] for row in c.execute(query)}))
        assert charged == {request_id: one.charged for request_id, one in self.asked.items() if one.charged}
        for name, credit in self.credit.items():
            found = {purse.currency: purse for purse in self.run(self.books.purses(name))}
            if "USD" in found:
                assert (found["USD"].balance_nano, found["USD"].held_nano) == (credit, self.held(name))
            else:
                assert credit == 0


ACTIONS = (
    *[Shop.submit] * 4,
    *[Shop.lease] * 3,
    *[Shop.finish] * 3,
    *[Shop.fail] * 2,
    *(Shop.crash, Shop.release, Shop.cancel, Shop.pay, Shop.time_goes_by, Shop.server_dies),
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3000)), min_size=20, max_size=50)
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def follow(steps: list[tuple[Callable[[Shop, int], None], int]]) -> None:
    shop = Shop()
    try:
        shop.run(shop.books.pay(PREPAID, "USD", 6000))
        shop.credit[PREPAID] = 6000
        for number in range(12):
            shop.submit(number * 7 + 5)
        for act, number in steps:
            act(shop, number)
            shop.check()
    finally:
        shop.end()


@QUICK
@given(STEPS)
def test_the_books_and_the_model_agree(steps: list[tuple[Callable[[Shop, int], None], int]]) -> None:
    follow(steps)


@pytest.mark.slow
@settings(QUICK, max_examples=100)
@given(STEPS)
def test_the_books_and_the_model_agree_at_length(steps: list[tuple[Callable[[Shop, int], None], int]]) -> None:
    follow(steps)
