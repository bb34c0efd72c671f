"""The page from whom the next are chosen: nobody is hidden, by length or by size; and what leases charge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, insert, text

from laterna.contracts.generation import work_tokens
from laterna.contracts.messages import Lease
from laterna.queue import lanes
from laterna.requests.requests import Chosen
from laterna.store.schema import tenants
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import SPENT, World, failed, finished, job, world


def play(folder: Path, scene: Callable[[World], Awaitable[None]]) -> None:
    async def scenes() -> None:
        async with world(folder) as w:
            for name, weight in (("b", 1), ("heavy", 4)):
                await w.store.write(partial(_add, name, weight))
            await scene(w)

    asyncio.run(scenes())


def _add(name: str, weight: int, connection: Connection) -> None:
    connection.execute(insert(tenants), {"id": name, "name": name, "weight": weight, "created_us": 0})


async def virtual(w: World, tenant: str) -> int | None:
    found = text("SELECT virtual_ns FROM shares WHERE tenant_id = :tenant")
    value: int | None = await w.store.read(lambda c: c.execute(found, {"tenant": tenant}).scalar())
    return value


def test_every_lane_has_its_part_however_long_the_others_are(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for number in range(2 * lanes.LANE_ROWS):
            await w.submit(generation=job(steps=1 + number % 7))
            w.clock.advance(0.001)
        alone = {
            await w.submit(tenant="b"),
            await w.submit(priority=2),
            await w.submit(card_id="test/other"),
            await w.submit(tenant="heavy", card_id="test/other", priority=0),
        }
        page = await w.requests.waiting()
        assert alone <= {one.id for one in page}
        assert len(page) <= lanes.LANE_ROWS + len(alone) + 3 * lanes.OLDEST_ROWS
        assert {one.tenant: one.weight for one in page} == {DEFAULT_TENANT: 1, "b": 1, "heavy": 4}

    play(tmp_path, scene)


def test_the_least_work_and_the_oldest_are_in_it(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        oldest = [await w.submit(generation=job(steps=50)) for _ in range(3)]
        for _ in range(2 * lanes.LANE_ROWS):
            w.clock.advance(0.001)
            await w.submit(generation=job(steps=20))
        w.clock.advance(0.001)
        short = await w.submit(generation=job(steps=1))
        assert {short, *oldest} <= {one.id for one in await w.requests.waiting()}

    play(tmp_path, scene)


def test_what_is_not_waiting_is_not_in_it(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        assert await w.requests.waiting() == []
        later = await w.submit(not_before_us=w.clock.now_us() + 1_000_000)
        await w.leased()
        await w.requests.cancel(DEFAULT_TENANT, await w.submit())
        assert await w.requests.waiting() == []
        w.clock.advance(1)
        assert [one.id for one in await w.requests.waiting()] == [later]

    play(tmp_path, scene)


def test_those_chosen_are_leased_in_their_order_if_they_still_wait(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        first, second, third, gone = [await w.submit() for _ in range(4)]
        await w.requests.cancel(DEFAULT_TENANT, gone)
        chosen = [Chosen(id=one) for one in (third, gone, first, "no-such")]
        assert [one.lease.request_id for one in await w.requests.lease("cpu", 9, chosen)] == [third, first]
        assert [one.id for one in await w.requests.waiting()] == [second]

    play(tmp_path, scene)


def test_a_lease_charges_its_tenant_and_its_end_puts_that_right(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        async def leased(tenant: str) -> Lease:
            await w.submit(tenant=tenant)
            waiting = [one.id for one in await w.requests.waiting() if one.tenant == tenant]
            [one] = await w.requests.lease("cpu", 1, [Chosen(id=waiting[0], device_ns=400, virtual_ns=1000)])
            return one.lease

        spent = sum(spent.device_ns for spent in SPENT)
        assert await w.requests.finish(finished(await leased("heavy")))
        assert await virtual(w, "heavy") == 1000 + 400 // 4 + (spent - 400) // 4
        await w.requests.release([await leased("b")])
        assert await virtual(w, "b") == 1000, "nothing was used"
        await w.requests.crashed(await leased("b"), "it died", touched=True)
        assert await virtual(w, "b") == 1400, "nobody knows what was used"
        await w.requests.fail(failed(await leased("b")))
        assert await virtual(w, "b") == 1400 + spent
        await leased("b")
        await w.requests.recover()
        assert await virtual(w, "b") == 1400 + spent

    play(tmp_path, scene)


def test_totals_are_all_that_waits_alike_together(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for steps in (3, 3, 5):
            await w.submit(generation=job(steps=steps))
            w.clock.advance(1)
        await w.submit(tenant="b", generation=job(steps=3))
        await w.submit(not_before_us=w.clock.now_us() + 10)
        totals = await w.requests.totals()
        work = {(one.tenant, one.work): (one.count, one.last_us - one.first_us) for one in totals}
        tokens = work_tokens(job())
        assert work == {
            (DEFAULT_TENANT, 3 * tokens): (2, 1_000_000),
            (DEFAULT_TENANT, 5 * tokens): (1, 0),
            ("b", 3 * tokens): (1, 0),
        }

    play(tmp_path, scene)
