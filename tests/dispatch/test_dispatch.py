"""Dispatch over a real store and real workers: leases, settles, cancels, takes back, gives back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from laterna.catalog.catalog import Catalog
from laterna.clock import Clock, SystemClock
from laterna.config import Settings
from laterna.contracts.generation import TextToImage
from laterna.dispatch.dispatch import Dispatch
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.dispatch.windows import WINDOW
from laterna.fleet.local import LocalFleet
from laterna.requests.live import Board
from laterna.requests.requests import Requests, RequestView, Submission
from laterna.server.devices import stations
from laterna.store.store import Store
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from tests.e2e.conftest import CARD, write_cards
from tests.postgres import database


@dataclass
class Plant:
    """Everything behind the API."""

    requests: Requests
    dispatch: Dispatch
    fleet: LocalFleet
    board: Board
    estimates: Estimates
    etas: Etas

    async def submit(self, **changes: Any) -> str:
        given: dict[str, Any] = {"width": 64, "height": 64, "steps": 10, "sampler": "euler", "seed": 1, "prompt": "x"}
        receipt = await self.requests.submit(
            Submission(
                tenant=DEFAULT_TENANT,
                endpoint="test/slow",
                card_id=changes.pop("card", "test/slow"),
                model_revision="1",
                priority=changes.pop("priority", 1),
                cancel_by_us=changes.pop("cancel_by_us", None),
                raw_input={},
                generation=TextToImage(**{**given, **changes}),
            )
        )
        self.dispatch.wake()
        return receipt.request_id

    async def until(self, request: str, holds: Callable[[RequestView], bool]) -> RequestView:
        with self.board.watch(request) as watch:
            async with asyncio.timeout(60):
                while not holds(view := await self.requests.get(DEFAULT_TENANT, request)):
                    await watch.next(0.5)
        return view

    async def used_s(self, request: str) -> float:
        """Device seconds, once any are known."""
        for _ in range(1000):
            if lines := await self.requests.usage(DEFAULT_TENANT, request):
                return sum(line.device_ns for line in lines) / 1e9
            await asyncio.sleep(0.01)
        return 0.0

    async def until_step(self, request: str, step: int) -> None:
        for _ in range(6000):
            if (seen := self.estimates.progress(request)) is not None and seen.step >= step:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it makes no progress")

    async def settled(self, request: str) -> RequestView:
        return await self.until(request, lambda view: view.settled)

    async def running(self, request: str) -> RequestView:
        return await self.until(request, lambda view: view.state == "running")


@asynccontextmanager
async def plant(folder: Path, clock: Clock | None = None, **changes: Any) -> AsyncIterator[Plant]:
    settings = Settings(data=folder, store=database(folder), threads=1, **changes)
    write_cards(folder)
    huge = CARD.format(id="test/huge", step_seconds=0.0).replace("resident_bytes = 1", "resident_bytes = 9000000000")
    (folder / "cards" / "huge.toml").write_text(huge)
    store, clock = await Store.open(settings), clock or SystemClock()
    await Keys(store, clock).ensure_first(settings.key_file)
    catalog, board, requests = Catalog.load(settings.cards_folder), Board(), Requests(store, clock, settings)
    await requests.recover()
    estimates = Estimates({})
    etas = Etas(catalog, estimates, clock)
    dispatch = Dispatch(requests, catalog, board, estimates, etas, clock, settings, set())
    fleet = LocalFleet(stations(settings), dispatch)
    dispatch.attach(fleet)
    fleet.start()
    loop = asyncio.create_task(dispatch.run())
    try:
        yield Plant(requests=requests, dispatch=dispatch, fleet=fleet, board=board, estimates=estimates, etas=etas)
    finally:
        await dispatch.stop()
        await fleet.stop()
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await store.close()


@pytest.mark.slow
async def test_many_requests_all_settle_with_their_outputs_and_device_time(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        ids = [await at.submit(card="test/blank", seed=n, count=1 + n % 3) for n in range(40)]
        for number, request in enumerate(ids):
            view = await at.settled(request)
            assert view.outcome == "ok"
            assert [output.seed for output in view.outputs] == [number + i for i in range(1 + number % 3)]
            usage = await at.requests.usage(DEFAULT_TENANT, request)
            assert sum(line.device_ns for line in usage) > 0
            [attempt] = await at.requests.attempts(DEFAULT_TENANT, request)
            assert attempt.device_ns == sum(line.device_ns for line in usage)
            on_device = [span for span in attempt.timeline if span.on_device]
            assert {span.stage for span in on_device} == {"encode", "denoise", "decode"}
            assert sum(span.device_ns for span in on_device) >= attempt.device_ns, "whoever shared the calls"


async def test_a_running_request_is_cancelled_at_its_next_step(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        request = await at.submit(steps=200)
        await at.running(request)
        result = await at.requests.cancel(DEFAULT_TENANT, request)
        assert not result.settled
        assert result.lease is not None
        await at.dispatch.cancel(result.lease)
        async with asyncio.timeout(5):
            view = await at.settled(request)
        assert view.outcome == "cancelled"


@pytest.mark.parametrize("missed", [False, True])
async def test_what_is_cancelled_by_way_of_another_server_is_told_to_its_worker(tmp_path: Path, missed: bool) -> None:
    """Whether the news of it came, or only that there may have been some."""
    async with plant(tmp_path) as at:
        request, other = await at.submit(steps=200), await at.submit(steps=2)
        await at.running(request)
        assert not (await at.requests.cancel(DEFAULT_TENANT, request)).settled
        if missed:
            at.dispatch.all_changed()
        else:
            at.dispatch.changed_elsewhere(request)
        assert (await at.settled(request)).outcome == "cancelled"
        assert (await at.settled(other)).outcome == "ok"


@pytest.mark.slow
async def test_what_runs_longer_than_its_owner_gave_it_is_cancelled(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        for seconds in (1, 4, 16, 64):  # until the machine is quick enough for it to have begun by then
            request = await at.submit(steps=900, cancel_by_us=SystemClock().now_us() + seconds * 1_000_000)
            view = await at.settled(request)
            assert view.outcome == "cancelled"
            if view.started_us is not None:
                return
        raise AssertionError("it never began")


async def test_a_killed_workers_requests_run_again_and_the_innocent_come_through(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        ids = [await at.submit(seed=n) for n in range(5)]
        await at.until_step(ids[0], 2)
        ready = at.fleet.workers["cpu"].ready
        assert ready is not None
        os.kill(ready.pid, signal.SIGKILL)
        for request in ids:
            assert (await at.settled(request)).outcome == "ok"
        assert (await at.requests.get(DEFAULT_TENANT, ids[0])).attempts == 2
        lines = await at.requests.usage(DEFAULT_TENANT, ids[0])
        assert {(line.attempt, line.outcome) for line in lines} == {(1, "lost"), (2, "ok")}


@pytest.mark.slow
async def test_a_stop_meters_what_runs(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        request = await at.submit(steps=60)
        await at.until_step(request, 3)
        await at.dispatch.stop()
        assert (await at.requests.get(DEFAULT_TENANT, request)).state == "queued"
        lines = await at.requests.usage(DEFAULT_TENANT, request)
        assert sum(line.calls for line in lines if line.stage == "denoise") >= 3


@pytest.mark.slow
async def test_what_runs_too_long_is_ended(tmp_path: Path) -> None:
    async with plant(tmp_path, generation_seconds=1.0) as at:
        view = await at.settled(await at.submit(steps=500))
        assert view.trouble is not None
        assert view.trouble.code == "generation_timeout"
        assert await at.used_s(view.request_id) > 0.5, "what it used is metered"


@pytest.mark.slow
async def test_a_card_that_was_removed_fails_what_waits_for_it(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        view = await at.settled(await at.submit(card="test/gone"))
        assert view.trouble is not None
        assert view.trouble.code == "missing_weights"


async def test_a_silent_worker_loses_its_leases(tmp_path: Path) -> None:
    """A worker that hangs is no worker: what it held runs elsewhere or again, and what it says later is not heard."""
    async with plant(tmp_path, lease_seconds=2.0) as at:
        request = await at.submit(steps=60)
        await at.until_step(request, 2)
        first = await at.running(request)
        ready = at.fleet.workers["cpu"].ready
        assert ready is not None
        os.kill(ready.pid, signal.SIGSTOP)
        view = await at.until(request, lambda view: view.lease != first.lease)
        os.kill(ready.pid, signal.SIGCONT)
        view = await at.settled(request)
        assert view.outcome == "ok"
        assert view.attempts == 2
        lines = await at.requests.usage(DEFAULT_TENANT, request)
        assert {line.attempt for line in lines} == {1, 2}
        assert sum(line.calls for line in lines if line.stage == "denoise") >= 60, "those lost too, if any"
        rest = [await at.submit(card="test/blank", seed=n) for n in range(30)]
        for other in rest:
            assert (await at.settled(other)).outcome == "ok"


@pytest.mark.slow
async def test_estimates_follow_what_was_measured(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        first = await at.submit(steps=5)
        await at.settled(first)
        await asyncio.sleep(2.5)
        second = await at.submit(steps=30)
        view = await at.running(second)
        eta = at.etas.eta(view)
        assert eta is not None
        assert 1.5 < eta.seconds < 10
        assert eta.low_s < eta.seconds < eta.high_s
        await at.settled(second)
        assert at.etas.eta(await at.requests.get(DEFAULT_TENANT, second)) is None


async def holds(seconds: float, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_two_workers_share_what_comes(tmp_path: Path) -> None:
    async with plant(tmp_path, devices=("cpu", "cpu:0")) as at:
        await holds(60, lambda: all(window.ready for window in at.dispatch.windows.values()))
        ids = [await at.submit(seed=n, steps=20) for n in range(6)]
        leases = {(await at.running(request)).lease for request in ids}
        assert all(window.held for window in at.dispatch.windows.values()), "each works"
        assert len(leases) == 6
        for request in ids:
            assert (await at.settled(request)).outcome == "ok"


async def test_urgent_work_takes_the_place_of_low_work_that_has_not_begun(tmp_path: Path) -> None:
    async with plant(tmp_path) as at:
        low = [await at.submit(seed=n, steps=400, width=64 + 8 * n, height=64, priority=2) for n in range(WINDOW)]
        await at.until(low[0], lambda view: view.state != "queued")
        await holds(20, lambda: len(at.dispatch.windows["cpu"].held) == WINDOW)
        assert (await at.settled(await at.submit(steps=3, priority=0))).outcome == "ok"
        views = [await at.requests.get(DEFAULT_TENANT, request) for request in low]
        assert {view.attempts for view in views} <= {0, 1}
        assert not any(view.settled for view in views)


@pytest.mark.slow
async def test_a_model_that_fits_no_device_fails_rather_than_waits(tmp_path: Path) -> None:
    async with plant(tmp_path, memory_gb=1.0) as at:
        view = await at.settled(await at.submit(card="test/huge"))
        assert view.trouble is not None
        assert view.trouble.code == "model_too_large"
