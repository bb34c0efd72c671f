"""What attempts used is written once each, whatever became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from laterna.billing.quotes import Price
from laterna.contracts.messages import Lease, Span
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import SPENT, World, artifact, failed, finished, world


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with world(folder) as w:
            await scene(w)

    asyncio.run(run())


async def silence(w: World, _: Lease) -> None:
    w.clock.advance(11)
    await w.requests.reclaim()


async def crash(w: World, lease: Lease) -> None:
    await w.requests.crashed(lease, "it died")


async def time_out(w: World, lease: Lease) -> None:
    await w.requests.fail(failed(lease, code="generation_timeout", spent=[]))


WAYS = [(silence, "lost"), (crash, "lost"), (time_out, "failed")]


@pytest.mark.parametrize(("end", "outcome"), WAYS)
@pytest.mark.parametrize("word", [finished, failed])
def test_an_attempt_that_was_taken_back_is_metered_when_its_worker_says_what_it_used(
    tmp_path: Path, end: Callable[[World, Lease], Awaitable[None]], outcome: str, word: Callable[[Lease], Any]
) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(price=Price(unit="request", nano=9), max_attempts=2)
        request_id = leased.lease.request_id
        await w.requests.started(leased.lease)
        await end(w, leased.lease)
        said = word(leased.lease)
        for _ in range(3):
            assert not await (w.requests.finish(said) if word is finished else w.requests.fail(said))
            assert not await w.requests.meter(leased.lease, SPENT)
        lines = await w.requests.usage(DEFAULT_TENANT, request_id)
        assert [(line.stage, line.calls, line.device_ns) for line in lines] == [("encode", 1, 5), ("denoise", 4, 100)]
        assert {(line.attempt, line.outcome, line.amount_nano) for line in lines} == {(1, outcome, 0)}
        for again in await w.requests.lease("cpu", 1):
            await w.requests.finish(finished(again.lease))
            lines = await w.requests.usage(DEFAULT_TENANT, request_id)
            assert [(line.attempt, line.outcome) for line in lines[2:]] == [(2, "ok")] * 3
            assert sum(line.amount_nano for line in lines) == 9

    play(tmp_path, scene)


def test_what_is_observed_before_a_stop_is_kept_though_the_attempt_does_not_count(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        for _ in range(2):
            [leased] = await w.requests.lease("cpu", 1)
            assert leased.attempt == 1
            assert await w.requests.meter(leased.lease, SPENT)
            await w.requests.release([leased.lease])
        lines = await w.requests.usage(DEFAULT_TENANT, request_id)
        assert sum(line.device_ns for line in lines) == 2 * 105

    play(tmp_path, scene)


def test_what_a_crash_forgot_is_metered_once_however_often_it_is_told(tmp_path: Path) -> None:
    """A server dies under an attempt, and its successor dies before the run that goes on has saved anything."""

    async def scene(w: World) -> None:
        request_id = await w.submit()
        [first] = await w.requests.lease("cpu", 1)
        await w.requests.started(first.lease)
        for _ in range(3):
            await w.requests.recover()
            [again] = await w.requests.lease("cpu", 1)
            await w.requests.started(again.lease)
            await w.requests.resumed(again.lease, first.lease, SPENT)
        await w.requests.finish(finished(again.lease))
        lines = await w.requests.usage(DEFAULT_TENANT, request_id)
        assert sum(line.device_ns for line in lines) == 2 * 105

    play(tmp_path, scene)


def test_files_of_a_result_that_came_too_late_are_to_go(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        old = (await w.leased()).lease
        await crash(w, old)
        late = finished(old, artifact(old, 0, key="late-0"), artifact(old, 1, key="late-1"))
        assert not await w.requests.finish(late)
        assert not await w.requests.finish(late)
        assert await w.requests.sweep() == ["late-0", "late-1"]
        [again] = await w.requests.lease("gpu", 1)
        await w.requests.finish(finished(again.lease, artifact(again.lease, key="good")))
        assert not await w.requests.finish(finished(again.lease, artifact(again.lease, key="good")))
        await w.requests.purged(["late-0", "late-1"])
        assert await w.requests.sweep() == [], "what was settled is kept, however often it is told"
        view = await w.requests.get(DEFAULT_TENANT, old.request_id)
        assert [(made.key, made.deleted) for made in view.outputs] == [("good", False)]

    play(tmp_path, scene)


def test_a_timeline_is_kept_with_its_attempt_and_shown_to_its_owner_alone(tmp_path: Path) -> None:
    spans = [Span(stage="denoise", start_ns=3, device_ns=10**12, calls=9, smallest=1, largest=16)]

    async def scene(w: World) -> None:
        first = (await w.leased()).lease
        await w.requests.started(first)
        await crash(w, first)
        [again] = await w.requests.lease("gpu", 1)
        await w.requests.started(again.lease)
        await w.requests.fail(failed(again.lease, timeline=spans))
        request_id = first.request_id
        lost, told = await w.requests.attempts(DEFAULT_TENANT, request_id)
        assert (lost.number, lost.worker, lost.outcome, lost.timeline, lost.device_ns) == (1, "cpu", "lost", (), None)
        assert (told.number, told.worker, told.outcome, told.device_ns) == (2, "gpu", "failed", 105)
        assert (told.timeline, told.started_us, told.ended_us) == (tuple(spans), w.clock.now_us(), w.clock.now_us())
        await w.requests.fail(failed(first, timeline=spans[:1]))
        assert (await w.requests.attempts(DEFAULT_TENANT, request_id))[0].timeline == tuple(spans), (
            "though it came late"
        )
        assert await w.requests.attempts("stranger", request_id) == []

    play(tmp_path, scene)
