"""Servers that hear each other by their database, without workers: what is said on one is heard on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.config import Settings
from laterna.contracts.messages import Lease, Preview, Progress, Spent
from laterna.dispatch.dispatch import Dispatch
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.errors import Unauthorized
from laterna.requests.live import Board, Changed
from laterna.requests.requests import Requests
from laterna.server.dispatching import NOBODY, Dispatching
from laterna.server.kept import keep
from laterna.server.others import Others
from laterna.store.store import Store
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from tests.postgres import VARIABLE, database, server

SECONDS = 30.0  # for what takes a moment


@dataclass(kw_only=True)
class One:
    """A server without ways in."""

    store: Store
    board: Board
    keys: Keys
    dispatching: Dispatching
    others: Others


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with server() as found:
        yield found.url


@asynccontextmanager
async def standing(folder: Path, url: str, *, never: bool = False) -> AsyncIterator[One]:
    settings, clock, catalog = Settings(data=folder, store=url), SystemClock(), Catalog.load(folder / "cards")
    async with AsyncExitStack() as stack:
        store = await Store.open(settings)
        stack.push_async_callback(store.close)
        board, keys, requests, estimates = Board(), Keys(store, clock), Requests(store, clock, settings), Estimates({})
        etas = Etas(catalog, estimates, clock)
        end = asyncio.get_running_loop().create_future()
        dispatching = Dispatching(
            store,
            requests,
            lambda: Dispatch(requests, catalog, board, estimates, etas, clock, settings, set()),
            [],
            [],
            end,
            never=never,
        )
        others = Others(store, board, keys, dispatching, clock)
        stack.push_async_callback(dispatching.stop)
        await dispatching.look()
        for loop in (dispatching.run, others.listen, others.tell):
            keep(stack, loop(), end)
        yield One(store=store, board=board, keys=keys, dispatching=dispatching, others=others)
        assert not end.done()


@pytest.fixture
def url(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, postgres)
    return database(tmp_path)


async def test_a_replica_takes_over_when_the_dispatcher_has_gone(tmp_path: Path, url: str) -> None:
    async with standing(tmp_path / "two", url, never=True) as never:
        assert never.dispatching.problem() == NOBODY
        first = AsyncExitStack()
        one = await first.enter_async_context(standing(tmp_path / "one", url))
        async with first, standing(tmp_path / "three", url) as three:
            assert [each.dispatching.role for each in (never, one, three)] == ["replica", "dispatcher", "replica"]
            await first.aclose()
            async with asyncio.timeout(SECONDS):
                while three.dispatching.role == "replica":  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
            await never.dispatching.look()
            assert never.dispatching.problem() is None
            assert never.dispatching.role == "replica"


async def test_progress_reaches_who_watches_elsewhere(tmp_path: Path, url: str) -> None:
    """Until nobody does, and with pictures far larger than one notification."""
    picture = Preview(index=0, content_type="image/jpeg", data=bytes(range(256)) * 200)
    said = Progress(
        lease=Lease(request_id="r", token="t"), stage="denoise", step=1, steps=2, batch=1, remaining_s=0.5,
        preview=picture, spent=[Spent(stage="denoise", calls=1, device_ns=1)],
    )  # fmt: skip
    async with standing(tmp_path / "one", url) as one, standing(tmp_path / "two", url) as two:
        with two.board.watch("r") as watch:
            async with asyncio.timeout(SECONDS):
                while not isinstance(event := await watch.next(0.05), Progress):
                    one.board.progress(said)
        assert event.preview == picture
        assert (event.lease, event.step) == (said.lease, said.step)


async def test_what_changes_here_wakes_who_waits_there(tmp_path: Path, url: str) -> None:
    async with standing(tmp_path / "one", url), standing(tmp_path / "two", url) as two:
        with two.board.watch("r") as watch:
            async with standing(tmp_path / "three", url) as three, asyncio.timeout(SECONDS):
                await three.store.say("request", ["r"])
                while await watch.next(1.0) != Changed(request_id="r"):
                    pass


async def test_a_key_that_ends_here_ends_there(tmp_path: Path, url: str) -> None:
    async with standing(tmp_path / "one", url) as one, standing(tmp_path / "two", url) as two:
        await one.keys.ensure_first(tmp_path / "key")
        made = await one.keys.create(DEFAULT_TENANT, "short")
        for server in (one, two):
            assert (await server.keys.authenticate(f"Key {made.text}")).tenant == DEFAULT_TENANT
        await one.keys.revoke(DEFAULT_TENANT, made.id)
        async with asyncio.timeout(SECONDS):
            while await opens(two.keys, made.text):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)


async def opens(keys: Keys, text: str) -> bool:
    try:
        await keys.authenticate(f"Key {text}")
    except Unauthorized:
        return False
    return True
