"""The store on PostgreSQL: the contract's own tests, and what is PostgreSQL's alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from laterna.config import Settings
from laterna.errors import ConfigError, Unavailable
from laterna.store import postgres, sqlite
from laterna.store.migrate import migrate
from laterna.store.schema import metadata, tenants
from laterna.store.store import Store
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


def test_one_server_works_on_a_database(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOOKS", 3)

    async def scene() -> None:
        async with opened(tmp_path / "one", url) as store:
            with pytest.raises(ConfigError, match="another server"):
                await Store.open(Settings(data=tmp_path / "two", store=url))
            await store.write(lambda connection: add("one", connection))
        async with opened(tmp_path / "two", url) as store:
            assert await names(store) == ["one"]

    asyncio.run(scene())


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
