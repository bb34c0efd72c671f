"""Group commit: what is acknowledged is there, what fails fails alone, trouble with the disk is told and passes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from laterna.config import Settings
from laterna.errors import Unavailable
from laterna.store import sqlite, writer
from laterna.store.schema import tenants
from laterna.store.store import Store


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    store = await Store.open(Settings(data=folder))
    try:
        yield store
    finally:
        await store.close()


def adding(name: str) -> Callable[[Connection], str]:
    def add(connection: Connection) -> str:
        connection.execute(insert(tenants), {"id": name, "name": name, "created_us": 1})
        return name

    return add


def failing(connection: Connection) -> None:
    adding("half")(connection)
    raise ValueError("no")


async def names(store: Store) -> list[str]:
    return await store.read(lambda connection: list(connection.execute(select(tenants.c.name)).scalars()))


async def as_one_group(store: Store, *writes: Callable[[Connection], object]) -> list[object]:
    """Run writes in one group: they gather while the writer is kept busy."""
    busy, go = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        busy.set()
        assert go.wait(10)

    first = asyncio.create_task(store.write(hold))
    await asyncio.to_thread(busy.wait)
    others = [asyncio.create_task(store.write(write)) for write in writes]
    await asyncio.sleep(0)
    go.set()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


def test_what_is_acknowledged_is_there_after_closing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            assert await asyncio.gather(*(store.write(adding(f"t{n}")) for n in range(50))) == [
                f"t{n}" for n in range(50)
            ]
        async with opened(tmp_path) as store:
            assert sorted(await names(store)) == sorted(f"t{n}" for n in range(50))

    asyncio.run(scene())


def test_a_poisoned_write_fails_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            one, poisoned, twice, two = await as_one_group(store, adding("one"), failing, adding("one"), adding("two"))
            assert (one, two) == ("one", "two")
            assert isinstance(poisoned, ValueError)
            assert isinstance(twice, IntegrityError)
            assert sorted(await names(store)) == ["one", "two"]

    asyncio.run(scene())


def test_a_caller_that_went_away_does_not_disturb_the_others(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            tasks = [asyncio.create_task(store.write(adding(f"t{n}"))) for n in range(3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert done[::2] == ["t0", "t2"]
            assert isinstance(done[1], asyncio.CancelledError)

    asyncio.run(scene())


def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    def full(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def large(connection: Connection) -> None:
        connection.execute(insert(tenants), {"id": "large", "name": "x" * 1_000_000, "created_us": 1})

    async def scene() -> None:
        async with opened(tmp_path) as store:
            await store.write(full)
            told = await as_one_group(store, adding("before"), large)
            assert isinstance(told[1], Unavailable)
            assert "full" in told[1].message
            kept = await names(store)
            assert ("before" in kept) == (told[0] == "before"), "what was acknowledged is kept, what was refused is not"
            await store.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1000000") and None)
            await store.write(large)
            assert len(await names(store)) == len(kept) + 1

    asyncio.run(scene())


def test_a_database_that_another_process_holds_is_told_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)

    async def scene() -> None:
        async with opened(tmp_path) as store:
            other = sqlite3.connect(tmp_path / "laterna.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                await store.write(adding("one"))
            assert await names(store) == []
            other.execute("ROLLBACK")
            other.close()
            await store.write(adding("one"))
            assert await names(store) == ["one"]

    asyncio.run(scene())


def test_more_writes_than_may_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 2)

    async def scene() -> None:
        async with opened(tmp_path) as store:
            told = await as_one_group(store, *(adding(f"t{n}") for n in range(4)))
            assert told[:2] == ["t0", "t1"]
            assert all(isinstance(error, Unavailable) for error in told[2:])

    asyncio.run(scene())


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            pass
        with pytest.raises(Unavailable):
            await store.write(adding("late"))
        with pytest.raises(Unavailable):
            await names(store)

    asyncio.run(scene())


def test_readers_cannot_write(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            with pytest.raises(Unavailable, match="readonly"):
                await store.read(adding("one"))
            assert await names(store) == []

    asyncio.run(scene())


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_only_durable_groups_wait_for_the_disk(tmp_path: Path, durable: bool, level: int) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as store:
            found = await store.write(lambda c: c.execute(text("PRAGMA synchronous")).scalar(), durable=durable)
            assert found == level

    asyncio.run(scene())
