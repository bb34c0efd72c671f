"""The gallery with a thousand pictures, or ten: all can be reached, and few are mounted at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.config import Settings
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Artifact, Finished
from laterna.media.objects import MediaStore, new_key
from laterna.requests.requests import Requests, Submission
from laterna.store.store import Store
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from tests.e2e.browser import launched, visiting
from tests.e2e.conftest import Server, start

COUNTS = (1_000, 10_000)
COLOURS = 50
MOST_MOUNTED = 300


def picture(number: int) -> bytes:
    data = io.BytesIO()
    colour = (number * 5 % 256, number * 83 % 256, number * 37 % 256)
    Image.new("RGB", (64, 64), colour).save(data, "PNG")
    return data.getvalue()


async def fill(folder: Path, pictures: int) -> None:
    """One request that made them all, as a worker would have said it."""
    settings, clock = Settings(data=folder), SystemClock()
    store = await Store.open(settings)
    media, requests = MediaStore(settings.media), Requests(store, clock, settings)
    await Keys(store, clock).ensure_first(settings.key_file)
    card, endpoint = Catalog.load(settings.cards_folder).endpoint("laterna/sprite")
    job = TextToImage(prompt="one of many", width=64, height=64, steps=1, sampler="euler", seed=1, count=pictures)
    await requests.submit(
        Submission(
            tenant=DEFAULT_TENANT,
            endpoint=endpoint.id(card),
            card_id=card.id,
            model_revision=card.revision,
            raw_input={"prompt": "one of many"},
            generation=job,
        )
    )
    (leased,) = await requests.lease("cpu", 1)
    made = [picture(number) for number in range(COLOURS)]
    artifacts = []
    for index in range(pictures):
        key, data = new_key(), made[index % COLOURS]
        await media.put(key, data)
        digest = hashlib.sha256(data).hexdigest()
        artifacts.append(
            Artifact(
                index=index,
                seed=1 + index,
                key=key,
                content_type="image/png",
                size_bytes=len(data),
                sha256=digest,
                width=64,
                height=64,
            )
        )
    await requests.started(leased.lease)
    await requests.finish(Finished(lease=leased.lease, artifacts=artifacts, spent=[], inference_s=1.0))
    await store.close()


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
