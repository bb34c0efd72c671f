"""The store on PostgreSQL: the contract's own tests, and what is PostgreSQL's alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from laterna.config import Settings
from laterna.errors import ConfigError, Unavailable
from laterna.store import news, postgres, sqlite
from laterna.store.migrate import migrate
from laterna.store.schema import metadata, tenants
from laterna.store.store import Store, must_lead
from tests.postgres import VARIABLE, Server, database, server

ROOT = Path(__file__).parents[2]
QUICK = ("tests/store/test_schema.py", "tests/requests/test_life.py", "tests/billing/test_charges.py")
WHOLE = tuple(f"tests/{name}" for name in ("requests", "queue", "billing", "tenants"))


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as found:
        yield found


@pytest.fixture
def url(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, running.url)
    return database(tmp_path)


@asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[Store]:
    store = await Store.open(Settings(data=folder, store=url))
    try:
        yield store
    finally:
        await store.close()


def add(name: str, connection: Connection) -> None:
    connection.execute(insert(tenants), {"id": name, "name": name, "created_us": 1})


async def names(store: Store) -> list[str]:
    return await store.read(lambda connection: list(connection.execute(select(tenants.c.name)).scalars()))


@pytest.mark.parametrize("tests", [QUICK, pytest.param(WHOLE, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_the_contract_holds(running: Server, tests: tuple[str, ...]) -> None:
    """The tests that know no database pass on this one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-m", "not slow", *tests]
    environ = {**os.environ, VARIABLE: running.url}
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-10_000:]


def test_migrations_lead_to_the_schema(url: str) -> None:
    with postgres.engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        made = connection.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")).scalars()
        assert set(made) == set(sqlite.triggers())


def test_servers_write_one_after_another(tmp_path: Path, url: str) -> None:
    """What one read in its transaction no other changes before it has written."""

    def number(connection: Connection) -> None:
        add(str(connection.execute(select(func.count()).select_from(tenants)).scalar()), connection)

    async def scene() -> None:
        async with opened(tmp_path / "one", url) as one, opened(tmp_path / "two", url) as two:
            await asyncio.gather(*(store.write(number) for _ in range(100) for store in (one, two)))
            assert sorted(map(int, await names(one))) == list(range(200))

    asyncio.run(scene())


def test_one_of_several_servers_leads(tmp_path: Path, url: str) -> None:
    async def scene() -> None:
        async with opened(tmp_path / "two", url) as two:
            assert not await two.led()
            async with opened(tmp_path / "one", url) as one:
                assert [await one.lead(), await two.lead(), await one.lead()] == [True, False, True]
                assert await two.led()
            assert await two.lead()

    asyncio.run(scene())


def test_who_lost_the_lock_can_do_nothing_that_needs_it(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it does not know yet that it lost it."""
    monkeypatch.setattr(postgres, "LOOKS", 3)

    def lease(name: str, connection: Connection) -> None:
        must_lead(connection)
        add(name, connection)

    async def scene() -> None:
        async with opened(tmp_path / "one", url) as one, opened(tmp_path / "two", url) as two:
            assert await one.lead()
            await one.write(lambda c: lease("before", c))
            await asyncio.to_thread(end_leader, url)
            while not await two.lead():  # its process ends in its own time
                pass
            with pytest.raises(Unavailable):  # its connection is gone
                await one.write(lambda c: lease("lost", c))
            with pytest.raises(Unavailable, match="another server"):
                await one.write(lambda c: lease("late", c))
            await one.write(lambda c: add("anybody's", c))
            assert not await one.lead()
            await two.write(lambda c: lease("after", c))
            assert sorted(await names(one)) == ["after", "anybody's", "before"]

    asyncio.run(scene())


def test_servers_hear_what_others_commit(tmp_path: Path, url: str) -> None:
    """Once for a transaction, whatever its length, and nobody hears himself."""
    long = "ä😀" * 20_000

    async def scene() -> None:
        stores = opened(tmp_path / "one", url), opened(tmp_path / "two", url)
        async with stores[0] as one, stores[1] as two, heard(one) as of_one, heard(two) as of_two:
            await one.write(lambda c: news.tell(c, "request", "a", "a", long, "b"))
            await two.say("wanted", ["c"])
            assert [await of_two.get() for _ in range(3)] == [("request", said) for said in ("a", long, "b")]
            assert await of_one.get() == ("wanted", "c")
            assert [of_one.empty(), of_two.empty()] == [True, True]

    asyncio.run(scene())


def test_what_is_rolled_back_is_told_to_nobody(tmp_path: Path, url: str) -> None:
    def broken(connection: Connection) -> None:
        news.tell(connection, "request", "broken")
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async def scene() -> None:
        async with opened(tmp_path / "one", url) as one, opened(tmp_path / "two", url) as two, heard(two) as told:
            with pytest.raises(Unavailable):
                await one.write(broken)
            await one.say("request", ["good"])
            assert await told.get() == ("request", "good")

    asyncio.run(scene())


def test_who_listens_again_is_told_so(tmp_path: Path, url: str, running: Server) -> None:
    async def scene() -> None:
        async with opened(tmp_path / "one", url) as one, opened(tmp_path / "two", url) as two, heard(two) as told:
            await asyncio.to_thread(running.crash)
            assert [await told.get(), await told.get()] == [("listening", "False"), ("listening", "True")]
            while True:
                with suppress(Unavailable):
                    await one.say("request", ["again"])
                    break
            assert await told.get() == ("request", "again")

    asyncio.run(scene())


def test_servers_with_other_secrets_are_seen(tmp_path: Path, url: str) -> None:
    async def scene() -> None:
        async with opened(tmp_path / "two", url) as two:
            async with opened(tmp_path / "one", url) as one:
                assert [await one.be_alike(2**31 - 1), await two.be_alike(2**31 - 1)] == [True, True]
            assert not await two.be_alike(7)

    asyncio.run(scene())


def test_secrets_are_known_after_a_crash_of_the_database(tmp_path: Path, url: str, running: Server) -> None:
    async def scene() -> None:
        async with opened(tmp_path / "one", url) as one:
            assert await one.be_alike(1)
            async with heard(one) as told:
                await asyncio.to_thread(running.crash)
                assert [await told.get(), await told.get()] == [("listening", "False"), ("listening", "True")]
                async with opened(tmp_path / "two", url) as two:
                    assert not await two.be_alike(7)

    asyncio.run(scene())


def end_leader(url: str) -> None:
    """End the connection that holds the lock, as an operator or a failing network does."""
    who = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objsubid = 1 AND objid = :key AND granted"
    with postgres.engine(url).connect() as connection:
        assert connection.execute(text(who), {"key": postgres.LEADING}).scalars().all() == [True]


@asynccontextmanager
async def heard(store: Store) -> AsyncIterator[asyncio.Queue[tuple[str, str]]]:
    """What a store that listens hears, after the beginning."""
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = asyncio.create_task(
        store.listen(
            lambda topic, said: told.put_nowait((topic, said)),
            lambda hears: told.put_nowait(("listening", str(hears))),
        )
    )
    try:
        assert await told.get() == ("listening", "True")
        yield told
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def test_servers_that_start_together_migrate_once(running: Server, tmp_path: Path) -> None:
    with postgres.engine(running.url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE fresh"))
    fresh = running.url.replace("/postgres?", "/fresh?")

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: migrate(postgres.engine(fresh)), range(4)))


@pytest.mark.parametrize(("durable", "level"), [(True, "on"), (False, "off")])
def test_only_durable_groups_wait_for_the_disk(tmp_path: Path, url: str, durable: bool, level: str) -> None:
    async def scene() -> None:
        async with opened(tmp_path, url) as store:
            found = await store.write(lambda c: c.execute(text("SHOW synchronous_commit")).scalar(), durable=durable)
            assert found == level

    asyncio.run(scene())


def test_readers_cannot_write(tmp_path: Path, url: str) -> None:
    async def scene() -> None:
        async with opened(tmp_path, url) as store:
            with pytest.raises(DBAPIError, match="read-only"):
                await store.read(lambda connection: add("one", connection))
            assert await names(store) == []

    asyncio.run(scene())


def test_a_crash_of_the_database_is_told_and_passes(tmp_path: Path, url: str, running: Server) -> None:
    async def scene() -> None:
        async with opened(tmp_path, url) as store:
            await store.write(lambda connection: add("before", connection))
            assert await names(store) == ["before"]
            await asyncio.to_thread(running.crash)
            with pytest.raises(Unavailable, match="nothing was changed"):
                await store.write(lambda connection: add("during", connection))
            await store.write(lambda connection: add("after", connection))
            with pytest.raises(Unavailable):
                await asyncio.gather(*(names(store) for _ in range(4)))
            assert sorted(await names(store)) == ["after", "before"]

    asyncio.run(scene())


@pytest.mark.parametrize("wrong", ["mysql://a/b", "nonsense", "postgresql://laterna@/nowhere?host=/nowhere"])
def test_a_wrong_address_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError):
        asyncio.run(Store.open(Settings(data=tmp_path, store=wrong)))
