"""Real stores on files of the test, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laterna.clock import ManualClock
from laterna.config import Settings
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Artifact, Failed, Finished, Lease, Spent
from laterna.requests.requests import Answer, Leased, Requests, Submission, Try
from laterna.store.store import Store
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from tests.postgres import database

SPENT = [Spent(stage="encode", calls=1, device_ns=5), Spent(stage="denoise", calls=4, device_ns=100)]


@dataclass
class World:
    """One data folder, opened."""

    store: Store
    clock: ManualClock
    settings: Settings
    requests: Requests

    async def submit(self, **changes: Any) -> str:
        return (await self.requests.submit(submission(**changes))).request_id

    async def leased(self, **changes: Any) -> Leased:
        """A new request in a worker's hands."""
        request_id = await self.submit(**changes)
        found = await self.requests.lease("cpu", 100)
        return next(one for one in found if one.lease.request_id == request_id)


@asynccontextmanager
async def world(folder: Path, clock: ManualClock | None = None, **changes: Any) -> AsyncIterator[World]:
    settings = Settings(data=folder, store=database(folder), **changes)
    clock = clock or ManualClock()
    store = await Store.open(settings)
    try:
        await Keys(store, clock).ensure_first(settings.key_file)
        yield World(store=store, clock=clock, settings=settings, requests=Requests(store, clock, settings))
    finally:
        await store.close()


def submission(**changes: Any) -> Submission:
    given: dict[str, Any] = {
        "tenant": DEFAULT_TENANT,
        "endpoint": "test/blank",
        "card_id": "test/blank",
        "model_revision": "1",
        "raw_input": {"prompt": "a fox"},
        "generation": job(),
    }
    return Submission(**{**given, **changes})


def job(**changes: Any) -> TextToImage:
    given: dict[str, Any] = {"prompt": "a fox", "width": 64, "height": 64, "steps": 4, "sampler": "euler", "seed": 7}
    return TextToImage(**{**given, **changes})


def artifact(lease: Lease, index: int = 0, **changes: Any) -> Artifact:
    given: dict[str, Any] = {
        "index": index,
        "seed": 7 + index,
        "key": f"{lease.token}-{index}",
        "content_type": "image/png",
        "size_bytes": 123,
        "sha256": "0" * 64,
        "width": 64,
        "height": 64,
    }
    return Artifact(**{**given, **changes})


def finished(lease: Lease, *artifacts: Artifact) -> Finished:
    return Finished(lease=lease, artifacts=list(artifacts) or [artifact(lease)], spent=SPENT, inference_s=1.5)


def failed(lease: Lease, **changes: Any) -> Failed:
    given: dict[str, Any] = {"code": "sample_failed", "message": "it went wrong", "spent": SPENT}
    return Failed(lease=lease, **{**given, **changes})


TAKEN = Try(answer=Answer(status=204), began_us=1, took_us=2)  # how a webhook went


def refused(*, hopeless: bool = False) -> Try:
    return Try(answer=Answer(status=500, error="answered 500", hopeless=hopeless), began_us=3, took_us=4)


Test = Callable[[World], Awaitable[None]]
