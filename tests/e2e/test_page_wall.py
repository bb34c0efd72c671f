"""The gallery with a thousand pictures, or ten: all can be reached, and few are mounted at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from bench.wall import fill
from tests.e2e.browser import launched, visiting
from tests.e2e.conftest import Server, start

COUNTS = (1_000, 10_000)
MOST_MOUNTED = 300


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Callable[[int], Server]]:
    """Starts a server that has so many pictures."""
    started: list[Server] = []

    def begin(pictures: int) -> Server:
        asyncio.run(fill(tmp_path, pictures))
        started.append(start(tmp_path))
        return started[0]

    yield begin
    assert [server.stop() for server in started] == [0]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.slow
def test_all_pictures_are_scrolled_through_with_few_mounted(filled: Callable[[int], Server], count: int) -> None:
    many = filled(count)
    with launched() as browser, visiting(browser, many) as visit:
        page = visit.sign_in("/gallery")
        expect(page.locator(".tile").first).to_be_visible()
        seen, last = 0, page.locator(f".tile[aria-posinset='{count}']")
        while not last.count():
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            expect(page.locator(".wall > :last-child")).not_to_have_attribute("aria-posinset", str(seen))
            mounted = page.locator(".tile")
            assert 0 < mounted.count() <= MOST_MOUNTED
            seen = int(mounted.last.get_attribute("aria-posinset") or 0)
        expect(last).to_be_visible()
        page.evaluate("scrollTo(0, 0)")
        expect(page.locator(".tile[aria-posinset='1']")).to_be_visible()
