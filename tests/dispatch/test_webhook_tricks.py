"""Webhooks go through the same guard: of all tricks none is delivered, each is written down as refused and given up."""

from __future__ import annotations

from pathlib import Path

from laterna.dispatch.shared_secrets import SharedSecrets
from laterna.dispatch.signing import SigningKeys
from laterna.dispatch.webhooks import Webhooks
from laterna.media.fetch import Fetcher
from laterna.requests.requests import Delivery
from laterna.tenants.keys import DEFAULT_TENANT
from tests.media.sites import page, site
from tests.media.test_tricks import hostile
from tests.media.tricks import aimed
from tests.requests.conftest import World, finished, world


async def test_no_trick_is_delivered(tmp_path: Path) -> None:
    async with world(tmp_path) as w, site() as inside:
        inside.pages["/"] = page()
        urls = [url for url in aimed(inside.port) if "\x00" not in url]
        for url in urls:
            await w.submit(webhook_url=url)
        for leased in await w.requests.lease("cpu", len(urls)):
            await w.requests.finish(finished(leased.lease))
        signing, shared = SigningKeys.open(tmp_path, w.clock), SharedSecrets.open(tmp_path, w.clock)
        webhooks = Webhooks(w.requests, Fetcher(resolver=hostile), signing, shared, w.clock, set())
        due = await w.requests.due_webhooks(len(urls) + 1)
        assert len(due) == len(urls)
        for delivery in due:
            await webhooks._deliver(delivery)
        assert [d.url for d in due if not await given_up(w, d)] == []
        assert inside.requests == []


async def given_up(w: World, delivery: Delivery) -> bool:
    found = await w.requests.webhook(DEFAULT_TENANT, delivery.request_id)
    assert found is not None
    return found.next_us is None and found.delivered_us is None and len(found.tries) == 1
