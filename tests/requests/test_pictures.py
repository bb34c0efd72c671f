"""The gallery's pages, and how the latest requests went: the same on every store."""

from __future__ import annotations

from pathlib import Path

from laterna.requests.pictures import PictureFilter
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, artifact, failed, finished, job, world

ALL = PictureFilter()


async def painted(found: World, prompt: str, count: int = 1) -> str:
    leased = await found.leased(generation=job(prompt=prompt, count=count))
    await found.requests.started(leased.lease)
    await found.requests.finish(finished(leased.lease, *(artifact(leased.lease, n) for n in range(count))))
    found.clock.advance(1.0)
    return leased.lease.request_id


async def keys(found: World, which: PictureFilter = ALL, limit: int = 2) -> list[str]:
    """Of all pages."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await found.requests.pictures(DEFAULT_TENANT, which, cursor, limit)
        assert len(page.items) <= limit
        seen += [one.key for one in page.items]
        cursor = page.cursor
        if cursor is None:
            return seen


async def test_pages_hold_every_picture_once(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        made = [await painted(found, f"number {n}", count=n + 1) for n in range(4)]
        whole = (await found.requests.pictures(DEFAULT_TENANT, ALL, None, 200)).items
        assert [one.request_id for one in whole] == [made[n] for n in (3, 3, 3, 3, 2, 2, 2, 1, 1, 0)]
        for limit in (1, 2, 3, 10):
            assert await keys(found, limit=limit) == [one.key for one in whole]
        assert (await found.requests.pictures("another", ALL, None, 9)).items == ()


async def test_words_are_looked_for_in_prompts_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        for prompt in ('A "Zebra" of 100%', "één okapi", "line\nbreak"):
            await painted(found, prompt)
        for words, count in {
            "zebra": 1,
            '"zebra"': 1,
            "100%": 1,
            "%": 1,
            "okapi": 1,
            "één": 1,
            "K\nB": 0,
            "e\nb": 1,
        }.items():
            assert len(await keys(found, PictureFilter(words=words))) == count, words
        for words in ("euler", "sampler", "_", "\\"):
            assert await keys(found, PictureFilter(words=words)) == [], words


async def test_what_has_expired_is_not_shown(tmp_path: Path) -> None:
    async with world(tmp_path, keep_days=1.0) as found:
        await painted(found, "soon gone")
        assert len(await keys(found)) == 1
        found.clock.advance(2 * 86_400.0)
        assert await keys(found) == [], "even before it is swept"


async def test_what_ended_lately_is_told_with_its_times(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await painted(found, "old")
        found.clock.advance(7200.0)
        since = found.clock.now_us()
        leased = await found.leased()
        found.clock.advance(2.0)
        await found.requests.started(leased.lease)
        found.clock.advance(3.0)
        await found.requests.finish(finished(leased.lease))
        await found.requests.fail(failed((await found.leased()).lease))
        worse, better = await found.requests.recent(since)
        assert (better.outcome, better.error_code, better.waited_s, better.total_s) == ("ok", None, 2.0, 5.0)
        assert (worse.outcome, worse.error_code, worse.waited_s) == ("failed", "sample_failed", None)
