"""Limits hold whatever is tried at once: as many get in as may, never one more, and never one fewer for no reason."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from laterna.errors import LaternaError, QueueFull, RateLimited, StorageFull, TooManyConcurrent
from laterna.requests.files import FileRecord, Files
from laterna.tenants.keys import DEFAULT_TENANT
from laterna.tenants.limits import Limits, use_of
from laterna.tenants.tenants import Tenants
from tests.requests.conftest import World, artifact, failed, finished, world

pytestmark = pytest.mark.anyio


async def limited(w: World, **limits: int) -> str:
    return (await Tenants(w.store, w.clock, w.settings).create("limited", limits=Limits(**limits))).id


async def tried(*work: Awaitable[Any]) -> Counter[str]:
    """What became of each, all at once."""
    found = await asyncio.gather(*work, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, LaternaError):
            raise one
    return Counter(type(one).__name__ if isinstance(one, LaternaError) else "ok" for one in found)


async def test_the_queues_limit_lets_in_as_many_as_may_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, queue_length=5)
        others = (w.submit() for _ in range(8))
        assert (await tried(*(w.submit(tenant=tenant) for _ in range(40)), *others)) == {"ok": 5 + 8, "QueueFull": 35}
        held = [one for one in await w.requests.lease("cpu", 100) if one.tenant == tenant]
        assert len(held) == 5
        assert (await tried(*(w.submit(tenant=tenant) for _ in range(9))))["ok"] == 5, "what runs does not wait"
        await w.submit(tenant=DEFAULT_TENANT)
        with pytest.raises(QueueFull, match="5 may"):
            await w.submit(tenant=tenant)


async def test_what_waits_for_its_time_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, queue_length=3)
        later = {"tenant": tenant, "not_before_us": w.clock.now_us() + 10**9}
        assert (await tried(*(w.submit(**later) for _ in range(9))))["ok"] == 3


async def test_an_idempotent_repeat_is_never_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, queue_length=1, rate=1, concurrency=1)
        wanted = {"tenant": tenant, "idempotency_key": "k", "direct": True}
        ids = {await w.submit(**wanted) for _ in range(5)}
        assert len(ids) == 1


@settings(max_examples=25)
@given(
    rate=st.integers(1, 6),
    gaps_s=st.lists(st.sampled_from([0.0, 0.5, 5.0, 20.0, 31.0, 59.9, 60.0, 61.0]), min_size=1, max_size=25),
)
def test_no_minute_has_more_than_the_rate_and_none_is_refused_below_it(
    tmp_path_factory: pytest.TempPathFactory, rate: int, gaps_s: list[float]
) -> None:
    async def scene() -> None:
        async with world(tmp_path_factory.mktemp("rate")) as w:
            tenant = await limited(w, rate=rate)
            admitted: list[int] = []
            for gap in gaps_s:
                w.clock.advance(gap)
                now = w.clock.now_us()
                recent = [moment for moment in admitted if moment > now - 60_000_000]
                if len(recent) < rate:
                    await w.submit(tenant=tenant)
                    admitted.append(now)
                    continue
                with pytest.raises(RateLimited) as refused:
                    await w.submit(tenant=tenant)
                assert round((refused.value.retry_after_s or 0) * 1e6) == recent[0] + 60_000_000 - now

    asyncio.run(scene())


async def test_a_burst_gets_its_rate_and_the_time_to_come_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, rate=7)
        assert (await tried(*(w.submit(tenant=tenant) for _ in range(50)))) == {"ok": 7, "RateLimited": 43}
        w.clock.advance(59.5)
        with pytest.raises(RateLimited) as refused:
            await w.submit(tenant=tenant)
        assert refused.value.retry_after_s == pytest.approx(0.5)
        w.clock.advance(refused.value.retry_after_s or 0)
        await w.submit(tenant=tenant)


async def test_who_stays_on_the_line_is_refused_where_no_more_may_run_and_the_queue_takes_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w, concurrency=3)
        direct = {"tenant": tenant, "direct": True}
        assert (await tried(*(w.submit(**direct) for _ in range(20)))) == {"ok": 3, "TooManyConcurrent": 17}
        first = (await w.requests.lease("cpu", 100))[0]
        with pytest.raises(TooManyConcurrent, match="3 may"):
            await w.submit(**direct)
        await w.submit(tenant=tenant)
        await w.requests.finish(finished(first.lease))
        with pytest.raises(TooManyConcurrent):
            await w.submit(**direct)


async def test_nothing_lets_nothing_through(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenants = Tenants(w.store, w.clock, w.settings)
        tenant = await limited(w)
        for limits, error in (
            (Limits(rate=0), RateLimited),
            (Limits(queue_length=0), QueueFull),
            (Limits(storage_bytes=0), StorageFull),
        ):
            await tenants.change(tenant, 1, limits)
            with pytest.raises(error):
                await w.submit(tenant=tenant)
        await tenants.change(tenant, 1, Limits(concurrency=0))
        waits = await w.submit(tenant=tenant)
        assert await w.requests.lease("cpu", 100) == []
        await tenants.change(tenant, 1, Limits())
        assert [one.lease.request_id for one in await w.requests.lease("cpu", 100)] == [waits]


def upload(tenant: str, name: str, size: int) -> FileRecord:
    return FileRecord(
        key=name, tenant=tenant, request_id=None, file_name=name, content_type="image/png", size_bytes=size
    )


async def test_uploads_fill_the_storage_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant, files = await limited(w, storage_bytes=1000), Files(w.store, w.clock)
        assert await files.room(tenant) == 1000
        made = await tried(*(files.add(upload(tenant, f"f{n}", 150)) for n in range(20)))
        assert made == {"ok": 6, "StorageFull": 14}
        assert await files.room(tenant) == 100
        assert await files.room(DEFAULT_TENANT) is None
        await files.add(upload(tenant, "last", 100))
        with pytest.raises(StorageFull, match="1,000 may be kept"):
            await files.room(tenant)
        with pytest.raises(StorageFull):
            await w.submit(tenant=tenant)
        kept = (await files.page(tenant)).items
        await files.delete(tenant, kept[0].key)
        await w.submit(tenant=tenant)


async def test_a_result_is_kept_though_the_storage_is_full(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant, files = await limited(w, storage_bytes=10), Files(w.store, w.clock)
        await w.submit(tenant=tenant)
        leased = (await w.requests.lease("cpu", 1))[0]
        await files.add(upload(tenant, "f", 9))
        assert await w.requests.finish(finished(leased.lease))
        with pytest.raises(StorageFull):
            await w.submit(tenant=tenant)


STEPS = st.lists(
    st.sampled_from(["upload", "generate", "inline", "late", "delete", "forget", "expire", "fail"]), max_size=25
)


@settings(max_examples=30)
@given(STEPS)
def test_what_is_stored_is_what_is_counted(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    async def scene() -> None:
        async with world(tmp_path_factory.mktemp("stored")) as w:
            tenant, files = await limited(w), Files(w.store, w.clock)
            for number, step in enumerate(steps):
                await act(w, files, tenant, step, number)
                counted, kept = await w.store.read(
                    lambda c: (
                        use_of(c, tenant, w.clock.now_us()).stored_bytes,
                        c.execute(
                            text(
                                "SELECT COALESCE(SUM(size_bytes), 0) FROM files"
                                " WHERE tenant_id = :tenant AND deleted_us IS NULL"
                            ),
                            {"tenant": tenant},
                        ).scalar_one(),
                    )
                )
                assert counted == kept

    asyncio.run(scene())


async def act(w: World, files: Files, tenant: str, step: str, number: int) -> None:
    page = (await files.page(tenant)).items
    done = (await w.requests.page(tenant)).items
    if step == "upload":
        await files.add(upload(tenant, f"up{number}", 10 + number))
    elif step in ("generate", "inline", "late", "fail"):
        await w.submit(tenant=tenant, keep_seconds=100)
        lease = (await w.requests.lease("cpu", 1))[0].lease
        data = b"x" * 123 if step == "inline" else None
        made = finished(lease, artifact(lease), artifact(lease, 1, data=data))
        if step == "late":
            await w.requests.crashed(lease, "it died", True)
        if step == "fail":
            await w.requests.fail(failed(lease))
        else:
            await w.requests.finish(made)
        if step == "late":
            for other in await w.requests.lease("cpu", 1):
                await w.requests.fail(failed(other.lease))
    elif step == "delete" and page:
        await files.delete(tenant, page[number % len(page)].key)
    elif step == "forget" and done:
        await w.requests.delete_payloads(tenant, done[number % len(done)].request_id)
    elif step == "expire":
        w.clock.advance(200)
        await w.requests.sweep()


async def test_use_is_what_there_is(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenant = await limited(w)
        for _ in range(4):
            await w.submit(tenant=tenant)
        await w.submit()
        await w.requests.lease("cpu", 2)
        use = await w.store.read(lambda c: use_of(c, tenant, w.clock.now_us()))
        assert (use.running, use.waiting, use.submitted, use.stored_bytes) == (2, 2, 4, 0)
        w.clock.advance(61)
        assert (await w.store.read(lambda c: use_of(c, tenant, w.clock.now_us()))).submitted == 0
