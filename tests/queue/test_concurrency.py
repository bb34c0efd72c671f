"""A tenant at its concurrency limit waits, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.requests.requests import Chosen, Leased
from laterna.tenants.keys import DEFAULT_TENANT
from laterna.tenants.limits import Limits
from laterna.tenants.tenants import Tenants
from tests.requests.conftest import World, failed, finished, world

pytestmark = pytest.mark.anyio


async def limited(w: World, most: int) -> str:
    return (await Tenants(w.store, w.clock, w.settings).create("limited", limits=Limits(concurrency=most))).id


async def test_it_is_leased_no_more_than_may_run_while_others_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, 2)
        for _ in range(5):
            await w.submit(tenant=tenant)
        for _ in range(3):
            await w.submit()
        page = await w.requests.waiting()
        assert {one.room for one in page if one.tenant == tenant} == {2}
        assert {one.room for one in page if one.tenant == DEFAULT_TENANT} == {None}
        held = await w.requests.lease("cpu", 100)
        assert Counter(one.tenant for one in held) == {tenant: 2, DEFAULT_TENANT: 3}
        assert {one.room for one in await w.requests.waiting()} == {0}
        assert await w.requests.lease("gpu", 100) == []
        mine = [one.lease for one in held if one.tenant == tenant]
        await w.requests.finish(finished(mine[0]))
        await w.requests.release([mine[1]])
        assert len(await w.requests.lease("gpu", 100)) == 2


STEPS = st.lists(st.sampled_from(["submit", "lease", "choose", "finish", "fail", "release", "crash"]), max_size=40)


@settings(max_examples=40)
@given(STEPS, st.integers(0, 3))
def test_whatever_happens_no_more_are_held_than_may_and_none_waits_for_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], most: int
) -> None:
    async def scene() -> None:
        async with world(tmp_path_factory.mktemp("concurrency")) as w:
            tenant, held = await limited(w, most), list[Leased]()
            for number, step in enumerate(steps):
                before = {one.lease.request_id: one for one in held}
                if step == "submit":
                    await w.submit(tenant=tenant, max_attempts=3)
                elif step in ("lease", "choose"):
                    page = await w.requests.waiting()
                    chosen = [Chosen(id=one.id) for one in page] if step == "choose" else None
                    taken = await w.requests.lease(f"w{number}", 100, chosen)
                    free = most - len(held)
                    alone = any(one.attempt == 3 for one in (*held, *taken))
                    assert len(taken) == min(free, len(page)) or (alone and len(taken) < min(free, len(page)))
                    held += taken
                elif before:
                    one = held.pop(number % len(held))
                    if step == "finish":
                        await w.requests.finish(finished(one.lease))
                    elif step == "fail":
                        await w.requests.fail(failed(one.lease))
                    elif step == "release":
                        await w.requests.release([one.lease])
                    else:
                        await w.requests.crashed(one.lease, "it died", True)
                assert len(held) <= most

    asyncio.run(scene())
