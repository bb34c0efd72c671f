"""Attempts are repeated by what ended them: each cause as often as it may be, after its own pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.errors import GenerationTimeout, OutOfMemory, SampleFailed
from laterna.queue.retries import FAILED, LATE, LOST, MOST_ATTEMPTS, NAMED, most_attempts
from laterna.requests.requests import Leased
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, failed, world

Deed = Callable[[World, Leased], Coroutine[Any, Any, object]]


async def dies(w: World, leased: Leased) -> None:
    await w.requests.crashed(leased.lease, "its worker died", touched=True)


def ends(code: str, *, retry: bool = False) -> Deed:
    return lambda w, leased: w.requests.fail(failed(leased.lease, code=code, retry=retry))


ours, full, late = ends("internal_server_error", retry=True), ends(OutOfMemory.code), ends(GenerationTimeout.code)
CAUSES = {LOST: dies, FAILED: ours, LATE: late}


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        async with world(folder, **settings) as w:
            await scene(w)

    asyncio.run(run())


async def pauses(w: World, deeds: list[Deed], **asked: Any) -> list[int]:
    """Seconds from each deed to the next lease, until the request has ended."""
    request_id, found = await w.submit(**asked), list[int]()
    for deed in deeds:
        [leased] = await w.requests.lease("cpu", 1)
        await deed(w, leased)
        if (await w.requests.get(DEFAULT_TENANT, request_id)).settled:
            return found
        waited = 0
        while not await w.requests.waiting():
            w.clock.advance(1)
            waited += 1
        found.append(waited)
    raise AssertionError(f"it did not end: {found}")


@pytest.mark.parametrize(
    ("deed", "expected"),
    [(dies, [0, 0, 0]), (ours, [1, 5, 30]), (full, [5]), (late, []), (ends(SampleFailed.code), [])],
    ids=["died", "ours", "memory", "late", "for good"],
)
def test_each_cause_has_its_number_and_its_pauses(tmp_path: Path, deed: Deed, expected: list[int]) -> None:
    async def scene(w: World) -> None:
        assert await pauses(w, [deed] * 9) == expected
        assert await pauses(w, [deed] * 9, max_attempts=1) == []

    play(tmp_path, scene, attempts=4)


def test_a_sender_says_how_often_for_each_cause(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        asked = {LATE: 1, FAILED: 4, LOST: 0}
        assert await pauses(w, [dies], retries=asked) == []
        assert await pauses(w, [late, late], retries=asked) == [1]
        assert await pauses(w, [ours] * 5, retries=asked) == [1, 5, 30, 30]
        assert await pauses(w, [full] * 5, retries=asked) == [5, 5, 5, 5], "memory is the server's"
        assert await pauses(w, [ours, late, ours, late], retries=asked) == [1, 1, 5]
        assert await pauses(w, [late], retries={FAILED: 1}) == []
        assert len(await pauses(w, [ours] * 20, retries={FAILED: 9, LOST: 9, LATE: 9})) == MOST_ATTEMPTS - 1

    play(tmp_path, scene)


def test_attempts_say_why_they_ended(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit(retries={LATE: 1})
        for deed in (dies, ours, late):
            [leased] = await w.requests.lease("cpu", 1)
            await deed(w, leased)
            w.clock.advance(60)
        [leased] = await w.requests.lease("cpu", 1)
        await w.requests.fail(failed(leased.lease, code="image_load_error"))
        made = await w.requests.attempts(DEFAULT_TENANT, request_id)
        codes = [one.error_code for one in made]
        assert codes == ["runner_disconnected", "internal_server_error", "generation_timeout", "image_load_error"]

    play(tmp_path, scene)


@pytest.mark.parametrize("asked", [None, {LOST: 1}, {LOST: 1, FAILED: 6}, {LOST: 2, LATE: 3}])
def test_no_request_is_blamed_for_a_death_that_another_may_have_caused(
    tmp_path: Path, asked: dict[str, int] | None
) -> None:
    async def scene(w: World) -> None:
        suspect = await w.submit(retries=asked)
        while not (await w.requests.get(DEFAULT_TENANT, suspect)).settled:
            neighbour = await w.submit()
            leased = await w.requests.lease("cpu", 9)
            alone = len(leased) == 1
            for one in leased:
                await dies(w, one)
            if not (await w.requests.get(DEFAULT_TENANT, neighbour)).settled:
                await w.requests.cancel(DEFAULT_TENANT, neighbour)
        assert alone, "it failed beside others"

    play(tmp_path, scene)


@given(st.dictionaries(st.sampled_from(NAMED), st.integers(0, 9)), st.integers(1, 10))
def test_there_are_never_more_than_ten(asked: dict[str, int], attempts: int) -> None:
    assert 1 <= most_attempts(asked, attempts) <= MOST_ATTEMPTS
    assert most_attempts(None, attempts) == attempts
