"""Who pays what, and who is refused: over the real queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from laterna.billing.ledger import TOP_UP, WITHDRAWAL
from laterna.billing.purses import Limits, money
from laterna.billing.quotes import Price
from laterna.errors import Conflict, NotFound, OutOfBudget
from laterna.requests.requests import Requests
from tests.billing.conftest import faults, tenant
from tests.requests.conftest import World, failed, finished, submission, world

PRICE = Price(unit="image", nano=1000)
MAY_2026 = 1_780_000_000_000_000  # microseconds: 28 May 2026, UTC


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with world(folder) as w:
            w.clock.advance(MAY_2026 / 1e6 - w.clock.now_us() / 1e6)
            await scene(w)
            assert await faults(w) == []

    asyncio.run(run())


async def cost(w: World, name: str, request_id: str) -> tuple[int | None, int | None]:
    view = await w.requests.get(name, request_id)
    return view.cost_nano, view.charged_micro


def test_what_went_well_costs_its_quote_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        leased = await w.leased(tenant="a", price=PRICE)
        assert await cost(w, "a", leased.lease.request_id) == (None, None)
        assert await books.purses("a") == []
        for _ in range(3):
            await w.requests.finish(finished(leased.lease))
        assert await cost(w, "a", leased.lease.request_id) == (1000, 1_000_000)
        [purse] = await books.purses("a")
        assert (purse.balance_nano, purse.spent_nano, purse.held_nano) == (-1000, 1000, 0)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "end", ["fails", "dies", "silent", "cannot start", "cancelled waiting", "cancelled, then it dies"]
)
def test_what_is_our_fault_or_never_ran_costs_nothing(tmp_path: Path, end: str) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        asked = {"start_by_us": w.clock.now_us() + 1} if end == "cannot start" else {}
        leased = await w.leased(tenant="a", price=PRICE, max_attempts=1, **asked)
        request_id = leased.lease.request_id
        if end != "cannot start":
            await w.requests.started(leased.lease)
        if end == "fails":
            await w.requests.fail(failed(leased.lease, done=3, steps=4))
        elif end == "dies":
            await w.requests.crashed(leased.lease, "it died")
        elif end == "cancelled waiting":
            await w.requests.release([leased.lease])
            await w.requests.cancel("a", request_id)
        elif end == "cancelled, then it dies":
            await w.requests.cancel("a", request_id)
            await w.requests.crashed(leased.lease, "it died")
        else:
            w.clock.advance(11)
            await w.requests.reclaim()
        assert (await w.requests.get("a", request_id)).settled
        assert await cost(w, "a", request_id) == (0, 0)
        assert await books.purses("a") == []

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"done": 3, "steps": 8}, (375, 375_000)),
        ({"done": 8, "steps": 8}, (1000, 1_000_000)),
        ({"done": 9, "steps": 8}, (1000, 1_000_000)),
        ({"done": 0, "steps": 8}, (0, 0)),
        ({}, (0, 0)),
        ({"done": 3, "steps": 8, "code": "sample_failed"}, (0, 0)),
        ({"done": 3, "steps": 8, "retry": True}, (0, 0)),
    ],
)
def test_cancelled_running_work_costs_the_part_that_was_done(
    tmp_path: Path, said: dict[str, Any], expected: tuple[int, int]
) -> None:
    async def scene(w: World) -> None:
        await tenant(w, "a")
        leased = await w.leased(tenant="a", price=PRICE)
        await w.requests.started(leased.lease)
        await w.requests.cancel("a", leased.lease.request_id)
        for _ in range(2):
            await w.requests.fail(failed(leased.lease, **{"code": "client_cancelled", **said}))
        assert await cost(w, "a", leased.lease.request_id) == expected

    play(tmp_path, scene)


def test_a_worker_that_gives_up_unasked_costs_nothing(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await tenant(w, "a")
        leased = await w.leased(tenant="a", price=PRICE)
        await w.requests.fail(failed(leased.lease, code="client_cancelled", done=3, steps=4))
        assert await cost(w, "a", leased.lease.request_id) == (0, 0)

    play(tmp_path, scene)


def test_a_monthly_limit_is_never_exceeded(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        await books.limit("a", "USD", Limits(monthly_nano=2500, warn_nano=1500))
        first, second = (await w.leased(tenant="a", price=PRICE)).lease, (await w.leased(tenant="a", price=PRICE)).lease
        with pytest.raises(OutOfBudget, match="next month"):
            await w.submit(tenant="a", price=PRICE)
        await w.submit(tenant="a", price=Price(unit="image", nano=500))
        await w.submit(tenant="a")
        await w.submit(price=PRICE)
        await w.requests.finish(finished(first))
        await w.requests.fail(failed(second))
        [purse] = await books.purses("a")
        assert (purse.spent_nano, purse.held_nano, purse.warned) == (1000, 500, False)
        receipt = await w.requests.submit(submission(tenant="a", price=PRICE))
        assert receipt.warning is not None
        assert "0.000002500 USD" not in receipt.warning
        assert "0.0000015 USD" in receipt.warning
        with pytest.raises(OutOfBudget):
            await w.submit(tenant="a", price=PRICE)
        w.clock.advance(31 * 86_400)
        with pytest.raises(OutOfBudget):
            await w.submit(tenant="a", price=Price(unit="image", nano=1001))
        await w.submit(tenant="a", price=PRICE)
        w.clock.advance(-31 * 86_400)

    play(tmp_path, scene)


def test_prepaid_credit_is_never_overdrawn(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        await books.limit("a", "USD", Limits(prepaid=True))
        with pytest.raises(OutOfBudget, match="top it up"):
            await w.submit(tenant="a", price=PRICE)
        await books.pay("a", "USD", 1500, "invoice 7", "bank-1")
        answers = await asyncio.gather(*(w.submit(tenant="a", price=PRICE) for _ in range(9)), return_exceptions=True)
        assert sum(isinstance(answer, str) for answer in answers) == 1
        assert sum(isinstance(answer, OutOfBudget) for answer in answers) == 8
        [leased] = await w.requests.lease("cpu", 9)
        await w.requests.finish(finished(leased.lease))
        with pytest.raises(OutOfBudget):
            await w.submit(tenant="a", price=PRICE)
        await w.submit(tenant="a")

    play(tmp_path, scene)


def test_a_budget_in_one_currency_opens_no_other(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        await books.limit("a", "USD", Limits(monthly_nano=10**12))
        with pytest.raises(OutOfBudget, match="EUR, of which there is no budget, only of USD"):
            await w.submit(tenant="a", price=Price(nano=1, currency="EUR"))

    play(tmp_path, scene)


def test_a_repeated_submit_is_answered_whatever_the_budget(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        await books.limit("a", "USD", Limits(monthly_nano=1000))
        one = await w.submit(tenant="a", price=PRICE, idempotency_key="k")
        assert await w.submit(tenant="a", price=PRICE, idempotency_key="k") == one

    play(tmp_path, scene)


def test_payments_are_made_once_for_each_reference(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        books = await tenant(w, "a")
        for _ in range(2):
            assert (await books.pay("a", "USD", 70, "cash", "r1")).kind == TOP_UP
        assert (await books.pay("a", "USD", -30, "back", "r2")).kind == WITHDRAWAL
        for amount, currency in ((71, "USD"), (-70, "USD"), (70, "EUR")):
            with pytest.raises(Conflict, match="r1"):
                await books.pay("a", currency, amount, reference="r1")
        await books.pay("a", "USD", 1)
        await books.pay("a", "USD", 1)
        [purse] = await books.purses("a")
        assert purse.balance_nano == 42
        with pytest.raises(NotFound, match="nobody"):
            await books.pay("nobody", "USD", 1)
        with pytest.raises(NotFound, match="nobody"):
            await books.limit("nobody", "USD", Limits())

    play(tmp_path, scene)


FORGED = [
    "UPDATE entries SET amount_nano = 1",
    "DELETE FROM entries",
    "UPDATE accounts SET currency = 'EUR'",
    "DELETE FROM accounts",
    "UPDATE usage_lines SET amount_nano = 0 WHERE stage = 'price'",
    "UPDATE requests SET price_nano = 1 WHERE id = '{waiting}'",
    "UPDATE requests SET unit_nano = 1 WHERE id = '{waiting}'",
    "INSERT INTO entries SELECT NULL, 'x', kind, debit, credit, amount_nano, currency, tenant_id, request_id, '', 1"
    " FROM entries WHERE kind = 'charge'",
    "INSERT INTO entries SELECT NULL, 'x', kind, debit, credit, amount_nano, currency, tenant_id, '{waiting}', '', 1"
    " FROM entries WHERE kind = 'charge'",
    "INSERT INTO entries SELECT NULL, 'x', 'top_up', debit, debit, 5, currency, tenant_id, NULL, '', 1 FROM entries",
    "INSERT INTO entries SELECT NULL, 'x', 'top_up', debit, credit, -5, currency, tenant_id, NULL, '', 1 FROM entries",
    "INSERT INTO entries SELECT NULL, 'x', 'top_up', debit, credit, 5, 'EUR', tenant_id, NULL, '', 1 FROM entries",
    "INSERT INTO usage_lines SELECT NULL, tenant_id, '{waiting}', 1, 'ok', 'price', 0, 0, 1001, 'USD', 1, 1 FROM"
    " usage_lines WHERE stage = 'price'",
    "INSERT INTO usage_lines SELECT NULL, tenant_id, '{waiting}', 1, 'ok', 'price', 0, 0, -1, 'USD', 1, 1 FROM"
    " usage_lines WHERE stage = 'price'",
]


def test_the_database_itself_refuses_forgeries(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await tenant(w, "a")
        await w.requests.finish(finished((await w.leased(tenant="a", price=PRICE)).lease))
        waiting = await w.submit(tenant="a", price=PRICE)

        async def forge(statement: str) -> None:
            await w.store.write(lambda c: c.execute(text(statement)) and None)

        for statement in FORGED:
            with pytest.raises(IntegrityError):
                await forge(statement.format(waiting=waiting))

    play(tmp_path, scene)


def test_a_server_that_starts_anew_charges_no_cancelled_request_again(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await tenant(w, "a")
        leased = await w.leased(tenant="a", price=PRICE)
        await w.requests.started(leased.lease)
        await w.requests.cancel("a", leased.lease.request_id)
        await Requests(w.store, w.clock, w.settings).recover()
        await w.requests.fail(failed(leased.lease, code="client_cancelled", done=3, steps=4))
        assert await cost(w, "a", leased.lease.request_id) == (0, 0)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [(0, "0.00 USD"), (-1, "-0.000000001 USD"), (12_340_000_000, "12.34 USD"), (10**12, "1000.00 USD")],
)
def test_money_is_shown_exactly(nano: int, shown: str) -> None:
    assert money(nano, "USD") == shown
