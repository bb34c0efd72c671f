"""What is deleted, when, and what stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from laterna.errors import FileNotFound, InvalidInput
from laterna.requests.files import FileRecord, Files
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import TAKEN, World, artifact, failed, finished, job, world

DAY = 86_400.0


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        async with world(folder, **settings) as w:
            await scene(w)

    asyncio.run(run())


async def done(w: World, **changes: Any) -> str:
    leased = await w.leased(**changes)
    await w.requests.finish(finished(leased.lease, artifact(leased.lease, key=leased.lease.request_id)))
    return leased.lease.request_id


async def gone(w: World, request_id: str) -> bool:
    """Whether input and output went; both or none."""
    view = await w.requests.get(DEFAULT_TENANT, request_id)
    assert view.outcome == "ok", "the row stays"
    assert (await w.requests.raw_input(DEFAULT_TENANT, request_id) is None) == view.outputs[0].deleted
    return view.outputs[0].deleted


def test_payload_and_outputs_expire_together_and_bytes_go_afterwards(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        files = Files(w.store, w.clock)
        default, short, unstored = await done(w), await done(w, keep_seconds=60), await done(w, store_io=False)
        waiting = await w.submit(keep_seconds=1)
        for advance, expected in (
            (0, []),
            (61, [short]),
            (3600, [short, unstored]),
            (30 * DAY, [short, unstored, default]),
        ):
            w.clock.advance(advance)
            assert sorted(await w.requests.sweep()) == sorted(expected)
            assert {r for r in (default, short, unstored) if await gone(w, r)} == set(expected)
        with pytest.raises(FileNotFound):
            await files.get(short)
        await w.requests.purged([short, unstored])
        assert await w.requests.sweep() == [default]
        assert (await w.requests.get(DEFAULT_TENANT, waiting)).generation == job()

    play(tmp_path, scene)


def test_nothing_expires_where_nothing_is_to(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await done(w)
        w.clock.advance(10_000 * DAY)
        assert await w.requests.sweep() == []
        assert not await gone(w, request_id)

    play(tmp_path, scene, keep_days=0)


def test_many_expire_in_one_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(w: World) -> None:
        made = [await done(w, keep_seconds=1) for _ in range(5)]
        w.clock.advance(2)
        monkeypatch.setattr("laterna.requests.expiry._EXPIRED_REQUESTS", limited("_EXPIRED_REQUESTS"))
        monkeypatch.setattr("laterna.requests.expiry._EXPIRED_FILES", limited("_EXPIRED_FILES"))
        assert sorted(await w.requests.sweep()) == sorted(made)

    def limited(name: str) -> Any:
        from laterna.requests import expiry

        return getattr(expiry, name).limit(2)

    play(tmp_path, scene)


HISTORY = ("payloads", "events", "attempts", "outbox")


async def rows(w: World) -> dict[str, int]:
    return await w.store.read(
        lambda c: {name: c.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar_one() for name in HISTORY}
    )


def test_the_history_of_a_request_goes_with_its_payload(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        lease = (await w.leased(webhook_url="https://example.org", keep_seconds=60)).lease
        for number in range(100):
            await w.requests.note(lease, "INFO", f"line {number}")
        w.clock.advance(9)
        await w.requests.fail(failed(lease, retry=True))
        w.clock.advance(10)
        [again] = await w.requests.lease("cpu", 1)
        await w.requests.finish(finished(again.lease, artifact(again.lease, key="k")))
        [delivery] = await w.requests.due_webhooks(9)
        await w.requests.webhook_tried(delivery, TAKEN)
        kept = await w.submit()
        before = await rows(w)
        assert (before["attempts"], before["outbox"], before["events"] > 100) == (2, 1, True)
        w.clock.advance(59)
        await w.requests.sweep()
        assert await rows(w) == before
        w.clock.advance(2)
        assert await w.requests.sweep() == ["k"]
        assert await rows(w) == {"payloads": 1, "events": 1, "attempts": 0, "outbox": 0}
        view = await w.requests.get(DEFAULT_TENANT, lease.request_id)
        assert (view.outcome, view.attempts, len(await w.requests.usage(DEFAULT_TENANT, lease.request_id))) == (
            "ok",
            2,
            5,
        )
        assert (await w.requests.get(DEFAULT_TENANT, kept)).state == "queued"

    play(tmp_path, scene)


def test_what_is_deleted_is_not_in_the_database_any_more(tmp_path: Path) -> None:
    secret = "a most confidential fox"

    async def scene(w: World) -> None:
        leased = await w.leased(raw_input={"prompt": secret}, generation=job(prompt=secret))
        await w.requests.note(leased.lease, "INFO", f"generating {secret}")
        made = artifact(leased.lease, key="", data=secret.encode(), content_type="image/png")
        await w.requests.finish(finished(leased.lease, made))
        await w.requests.delete_payloads(DEFAULT_TENANT, leased.lease.request_id)
        assert await w.requests.logs(DEFAULT_TENANT, leased.lease.request_id) == []

    play(tmp_path, scene)
    left = [path.name for path in tmp_path.iterdir() if path.is_file() and secret.encode() in path.read_bytes()]
    assert left == []


def test_an_owner_may_delete_at_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await done(w)
        assert await w.requests.delete_payloads(DEFAULT_TENANT, request_id) == [request_id]
        assert await gone(w, request_id)
        assert await w.requests.sweep() == [request_id]

    play(tmp_path, scene)


def test_inline_outputs_can_be_fetched_again_for_an_hour(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased(generation=job(inline=True))
        await w.requests.finish(finished(leased.lease, artifact(leased.lease, key="", data=b"\x89PNG")))
        for _ in range(2):
            w.clock.advance(1799)
            assert await w.requests.sweep() == []
            [made] = (await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)).outputs
            assert (made.inline, made.data, made.deleted) == (True, b"\x89PNG", False)
        w.clock.advance(10)
        assert await w.requests.sweep() == [], "the media store never had it"
        [made] = (await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)).outputs
        assert (made.data, made.deleted) == (None, True)
        assert (await Files(w.store, w.clock).page(DEFAULT_TENANT)).items == ()

    play(tmp_path, scene)


def record(key: str, **changes: Any) -> FileRecord:
    given: dict[str, Any] = {"tenant": DEFAULT_TENANT, "request_id": None, "file_name": "a.png"}
    return FileRecord(**{**given, "key": key, "content_type": "image/png", "size_bytes": 3, **changes})


def test_uploads_are_listed_found_and_deleted_by_their_owner(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        files = Files(w.store, w.clock)
        for number in range(5):
            await files.add(record(f"k{number}", duration_s=1.5))
        found = await files.get("k3")
        assert (found.tenant, found.duration_s, found.created_us) == (DEFAULT_TENANT, 1.5, w.clock.now_us())
        seen, cursor = [], None
        while True:
            page = await files.page(DEFAULT_TENANT, cursor, 2)
            seen += [item.key for item in page.items]
            if (cursor := page.cursor) is None:
                break
        assert seen == [f"k{number}" for number in (4, 3, 2, 1, 0)]
        with pytest.raises(FileNotFound):
            await files.delete("stranger", "k3")
        await files.delete(DEFAULT_TENANT, "k3")
        for call in (files.get("k3"), files.delete(DEFAULT_TENANT, "k3"), files.get("\ud800"), files.get("never")):
            with pytest.raises(FileNotFound):
                await call
        with pytest.raises(InvalidInput):
            await files.page(DEFAULT_TENANT, "junk")
        assert await w.requests.sweep() == ["k3"]

    play(tmp_path, scene)


def test_a_file_is_not_served_past_its_expiry_even_before_the_sweep(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        files = Files(w.store, w.clock)
        await files.add(record("short", expires_us=w.clock.now_us() + 1_000_000))
        await files.get("short")
        w.clock.advance(1)
        with pytest.raises(FileNotFound):
            await files.get("short")
        assert await w.requests.sweep() == ["short"]

    play(tmp_path, scene)
