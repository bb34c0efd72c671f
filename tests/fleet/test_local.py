"""The local fleet with real worker processes: they start, speak, die and are replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from laterna.contracts.generation import ModelRef, TextToImage
from laterna.contracts.messages import Assign, Beat, Cancel, Failed, Finished, FromWorker, Lease, Note, Progress, Ready
from laterna.contracts.station import Station
from laterna.fleet.local import LocalFleet
from laterna.media.objects import MediaStore


class Ear:
    """Remembers what was heard and lets a test wait for it."""

    def __init__(self) -> None:
        self.heard_all: list[FromWorker] = []
        self.losses = 0
        self._news = asyncio.Condition()

    async def heard(self, worker: str, message: FromWorker) -> None:
        async with self._news:
            self.heard_all.append(message)
            self._news.notify_all()

    async def lost(self, worker: str) -> None:
        async with self._news:
            self.losses += 1
            self._news.notify_all()

    async def until(self, kind: type[Any], count: int = 1) -> Any:
        def found() -> list[FromWorker]:
            return [message for message in self.heard_all if isinstance(message, kind)]

        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(found()) >= count), 60)
        return found()[count - 1]

    async def until_lost(self, count: int) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: self.losses >= count), 60)


@asynccontextmanager
async def fleet(folder: Path, ear: Ear, device: str = "cpu") -> AsyncIterator[LocalFleet]:
    station = Station(name="w", device=device, media=str(folder / "media"), state=str(folder), threads=1)
    running = LocalFleet([station], ear)
    running.start()
    yield running
    await running.stop()


def order(name: str, step_seconds: float = 0.0, **changes: Any) -> Assign:
    given: dict[str, Any] = {"width": 64, "height": 64, "steps": 5, "sampler": "euler", "seed": 1, "prompt": "x"}
    model = ModelRef(
        id="blank", revision="1", family="blank", weights="builtin:none", resident_bytes=1,
        settings={"step_seconds": step_seconds},
    )  # fmt: skip
    lease = Lease(request_id=name, token=f"token-{name}")
    job = TextToImage(**{**given, **changes})
    return Assign(lease=lease, model=model, generation=job, tenant="t", priority=1, created_us=0)


async def test_a_worker_finishes_an_order_and_stores_its_pictures(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        await ear.until(Ready)
        running.workers["w"].send(order("a", count=2))
        finished: Finished = await ear.until(Finished)
    assert [artifact.seed for artifact in finished.artifacts] == [1, 2]
    assert {spent.stage for spent in finished.spent} == {"encode", "denoise", "decode"}
    media = MediaStore(tmp_path / "media")
    for artifact in finished.artifacts:
        assert media.size_sync(artifact.key) == artifact.size_bytes
    assert (tmp_path / "costs-cpu.json").exists()


@pytest.mark.slow
async def test_beats_name_the_leases_that_are_held(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        await ear.until(Ready)
        running.workers["w"].send(order("a", step_seconds=0.5, steps=10))
        await ear.until(Progress)
        beat: Beat = await ear.until(Beat, 2)
        assert [lease.token for lease in beat.leases] == ["token-a"]
        running.workers["w"].send(Cancel(lease=beat.leases[0]))
        failed: Failed = await ear.until(Failed)
    assert failed.code == "client_cancelled"


async def test_a_killed_worker_is_replaced_and_its_death_is_heard(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        first: Ready = await ear.until(Ready)
        os.kill(first.pid, signal.SIGKILL)
        second: Ready = await ear.until(Ready, 2)
        assert second.pid != first.pid
        assert ear.losses == 1
        running.workers["w"].send(order("b"))
        await ear.until(Finished)


@pytest.mark.slow
async def test_an_unknown_family_fails_the_request_and_not_the_worker(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        await ear.until(Ready)
        bad = order("a")
        ref = ModelRef(id="x", revision="1", family="none-such", weights="builtin:none", resident_bytes=1)
        running.workers["w"].send(
            Assign(lease=bad.lease, model=ref, generation=bad.generation, tenant="t", priority=1, created_us=0)
        )
        failed: Failed = await ear.until(Failed)
        assert "none-such" in failed.message
        running.workers["w"].send(order("b"))
        await ear.until(Finished)
    assert any(isinstance(message, Note) for message in ear.heard_all)


@pytest.mark.slow
async def test_a_device_that_is_not_there_is_reported_and_does_not_spin(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear, device="cuda:99") as running:
        await ear.until_lost(2)
        assert "cuda:99" in (running.workers["w"].problem or "")
        assert running.workers["w"].ready is None


async def test_a_hung_worker_is_replaced_by_name(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        first: Ready = await ear.until(Ready)
        running.workers["w"].send(order("a", step_seconds=0.5, steps=50))
        await ear.until(Progress)
        os.kill(first.pid, signal.SIGSTOP)  # it neither works nor answers
        running.replace("w", "its device call did not return")
        await ear.until_lost(1)
        second: Ready = await ear.until(Ready, 2)
        assert second.pid != first.pid
        assert running.workers["w"].problem is None
        running.workers["w"].send(order("b"))
        await ear.until(Finished)


async def test_why_a_worker_was_replaced_is_said_until_the_next_is_ready(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        await ear.until(Ready)
        running.replace("w", "its device call did not return")
        await ear.until_lost(1)
        await asyncio.sleep(0)
        assert running.problem() == "its device call did not return"


async def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "none"))
        async with fleet(tmp_path, ear) as running:
            await asyncio.sleep(0.2)
            assert "cannot be started" in (running.problem() or "")
            assert ear.losses == 0
            patch.undo()
            await ear.until(Ready)
            assert running.problem() is None


@pytest.mark.slow
async def test_what_breaks_the_keeping_of_a_worker_is_seen(tmp_path: Path) -> None:
    class Broken(Ear):
        async def heard(self, worker: str, message: FromWorker) -> None:
            raise ValueError("a bug")

    async with fleet(tmp_path, Broken()) as running:
        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(running.watch(), 60)
