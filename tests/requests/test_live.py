"""The board wakes whoever waits, and never forgets a settling."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from laterna.contracts.messages import Lease, Progress
from laterna.requests import wait
from laterna.requests.live import KEPT, Board, Changed
from laterna.requests.wait import until_settled
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import finished, world


def progress(step: int) -> Progress:
    lease = Lease(request_id="r", token="t")
    return Progress(lease=lease, stage="denoise", step=step, steps=9, batch=1, remaining_s=1.0)


def test_a_watch_hears_from_the_moment_it_was_made() -> None:
    async def scene() -> None:
        board = Board()
        board.changed("r")
        with board.watch("r") as events, board.watch("other") as quiet:
            board.progress(progress(1))
            board.changed("r")
            assert [await anext(events), await anext(events)] == [progress(1), Changed(request_id="r")]
            assert await events.next(0.01) is None
            assert await quiet.next(0.01) is None
        assert not board.watched("r")

    asyncio.run(scene())


@given(st.lists(st.booleans(), max_size=200))
def test_a_slow_watcher_keeps_the_newest_progress_and_one_wake_up(happened: list[bool]) -> None:
    async def scene() -> None:
        board = Board()
        with board.watch("r") as events:
            for step, moved in enumerate(happened):
                if moved:
                    board.progress(progress(step))
                else:
                    board.changed("r")
            board.progress(progress(999))
            heard = []
            while event := await events.next(0):
                heard.append(event)
            assert len(heard) <= KEPT
            assert heard[-1] == progress(999)
            assert heard.count(Changed(request_id="r")) == (not all(happened))
            steps = [event.step for event in heard if isinstance(event, Progress)]
            assert steps == [*(step for step, moved in enumerate(happened) if moved), 999][-len(steps) :]

    asyncio.run(scene())


def test_waiters_wake_when_it_settles(tmp_path: Path) -> None:
    async def scene() -> None:
        board = Board()
        async with world(tmp_path) as w:
            leased = await w.leased()
            request_id = leased.lease.request_id
            waiters = [
                asyncio.create_task(until_settled(w.requests, board, DEFAULT_TENANT, request_id)) for _ in range(3)
            ]
            await asyncio.sleep(0.05)
            await w.requests.finish(finished(leased.lease))
            board.changed(request_id)
            async with asyncio.timeout(wait.LOOK_SECONDS / 2):
                assert {view.outcome for view in await asyncio.gather(*waiters)} == {"ok"}
            for new in (False, True):  # settled before anybody waited: whoever is late is told as well
                async with asyncio.timeout(wait.LOOK_SECONDS / 2):
                    view = await until_settled(w.requests, board, DEFAULT_TENANT, request_id, new=new)
                assert view.outcome == "ok"
            assert not board.watched(request_id)

    asyncio.run(scene())
