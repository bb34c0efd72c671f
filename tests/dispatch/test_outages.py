"""The clock is set, or the store goes away, while requests run: no lease ends by that, and nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from laterna.clock import SystemClock
from laterna.contracts.messages import Finished
from laterna.errors import Unavailable
from tests.dispatch.test_dispatch import plant

HOUR_US = 3_600_000_000


class Settable(SystemClock):
    """The machine's, as somebody sets it."""

    offset_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.offset_us


async def test_a_clock_that_is_set_costs_no_attempt(tmp_path: Path) -> None:
    clock = Settable()
    async with plant(tmp_path, clock, lease_seconds=5) as p:
        for jump in (HOUR_US, -2 * HOUR_US):
            running = await p.submit(steps=15)
            await p.until_step(running, 1)
            waits = await p.submit(steps=2)
            clock.offset_us += jump
            for request in (running, waits):
                view = await p.settled(request)
                assert (view.outcome, view.attempts) == ("ok", 1)


async def test_a_result_waits_for_a_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plant(tmp_path, lease_seconds=2) as p:
        away, tried = asyncio.Event(), 0
        finish, renew, reclaim = p.requests.finish, p.requests.renew, p.requests.reclaim

        async def finishing(said: Finished) -> bool:
            nonlocal tried
            tried += 1
            if away.is_set():
                raise Unavailable("away")
            return await finish(said)

        async def renewing(*args: object) -> object:
            if away.is_set():
                raise Unavailable("away")
            return await renew(*args)  # type: ignore[arg-type]

        async def reclaiming() -> list[str]:
            if away.is_set():
                raise Unavailable("away")
            return await reclaim()

        monkeypatch.setattr(p.requests, "finish", finishing)
        monkeypatch.setattr(p.requests, "renew", renewing)
        monkeypatch.setattr(p.requests, "reclaim", reclaiming)
        request = await p.submit(steps=5)
        await p.until_step(request, 1)
        away.set()
        while tried < 5:  # noqa: ASYNC110 - longer than the lease lasts
            await asyncio.sleep(0.1)
        away.clear()
        view = await p.settled(request)
        assert (view.outcome, view.attempts) == ("ok", 1)
