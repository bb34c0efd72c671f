"""The janitor over a real media store: everything that is to go goes, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from laterna.dispatch import janitor
from laterna.dispatch.janitor import AT_ONCE, Janitor
from laterna.media.objects import SHELVES, MediaStore, is_key, new_key
from laterna.media.parts import Parts
from laterna.requests.files import FileRecord, Files
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, artifact, finished, world

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture(autouse=True)
def _every_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor, "SHELVES_A_PASS", len(SHELVES))
    monkeypatch.setattr(janitor, "EVERY_SECONDS", 0.2)


class House:
    def __init__(self, w: World) -> None:
        self.w = w
        self.media = MediaStore(w.settings.media)
        self.folder = w.settings.media
        self.files = Files(w.store, w.clock)

    def stored(self, age_s: float = 0.0) -> str:
        """A file that was written so long ago by the janitor's clock."""
        key = new_key()
        self.media.put_sync(key, b"x")
        written = self.w.clock.now_us() / 1e6 - age_s
        os.utime(self.folder / key[:2] / key, (written, written))
        return key

    async def upload(self) -> str:
        key = self.stored()
        await self.files.add(
            FileRecord(
                key=key,
                tenant=DEFAULT_TENANT,
                request_id=None,
                file_name="a",
                content_type="image/png",
                size_bytes=1,
            )
        )
        return key

    def present(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*") if path.is_file() and is_key(path.name)}

    @asynccontextmanager
    async def tidied(self) -> AsyncIterator[None]:
        task = asyncio.create_task(
            Janitor(self.w.requests, self.media, Parts(self.media), self.w.clock, self.w.settings).run()
        )
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until_left(self, expected: set[str]) -> None:
        for _ in range(3000):
            if self.present() == expected:
                return
            await asyncio.sleep(0.01)
        assert self.present() == expected


async def test_all_that_is_deleted_goes_in_one_pass_and_what_is_stuck_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "EVERY_SECONDS", 600.0)
    async with world(tmp_path) as w:
        house = House(w)
        gone = [await house.upload() for _ in range(2 * AT_ONCE + 50)]
        kept = await house.upload()
        stuck = gone[0]
        path = house.folder / stuck[:2] / stuck
        path.unlink()
        path.mkdir()  # nothing deletes a folder as if it were a file
        for key in gone:
            await house.files.delete(DEFAULT_TENANT, key)
        async with house.tidied():
            await house.until_left({kept})
            async with asyncio.timeout(30):
                while await w.requests.sweep() != [stuck]:  # noqa: ASYNC110 - it forgets a file once it is gone
                    await asyncio.sleep(0.01)


async def test_what_no_record_knows_goes_once_it_is_too_old_to_be_settled(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        house = House(w)
        left_behind, running, upload = house.stored(DAY + HOUR), house.stored(DAY - HOUR), await house.upload()
        leased = await w.leased()
        made = house.stored()
        await w.requests.finish(finished(leased.lease, artifact(leased.lease, key=made)))
        strange = house.folder / left_behind[:2] / "README"
        strange.write_text("not ours")
        os.utime(strange, (0, 0))
        assert left_behind in house.present()
        async with house.tidied():
            await house.until_left({running, upload, made})
            w.clock.advance(2 * HOUR)
            await house.until_left({upload, made})
        assert strange.exists()


async def test_where_requests_may_run_for_days_files_wait_for_days(tmp_path: Path) -> None:
    async with world(tmp_path, generation_seconds=3 * DAY) as w:
        house = House(w)
        running, gone = house.stored(5 * DAY), house.stored(7 * DAY)
        assert gone in house.present()
        async with house.tidied():
            await house.until_left({running})


async def test_a_deleted_payload_is_deleted_for_good(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        house = House(w)
        leased = await w.leased()
        keys = [house.stored(), house.stored()]
        made = [artifact(leased.lease, index, key=key) for index, key in enumerate(keys)]
        await w.requests.finish(finished(leased.lease, *made))
        assert set(await w.requests.delete_payloads(DEFAULT_TENANT, leased.lease.request_id)) == set(keys)
        async with house.tidied():
            await house.until_left(set())
            async with asyncio.timeout(30):
                while await w.requests.sweep():  # noqa: ASYNC110 - it forgets a file once it is gone
                    await asyncio.sleep(0.01)
