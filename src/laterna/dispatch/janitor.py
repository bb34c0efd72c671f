"""The janitor: deletes what has expired, records first and bytes after, so that nothing that is listed is missing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from laterna.clock import Clock
from laterna.errors import FileNotFound, LaternaError
from laterna.media.objects import MediaStore
from laterna.media.parts import Parts
from laterna.requests.requests import Requests

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
UNFINISHED_US = 24 * 3_600_000_000  # an upload in parts that nobody went on with for so long is dropped


class Janitor:
    """Once a minute."""

    def __init__(self, requests: Requests, media: MediaStore, parts: Parts, clock: Clock) -> None:
        self._requests = requests
        self._media = media
        self._parts = parts
        self._clock = clock

    async def run(self) -> None:
        """Tidy until cancelled."""
        while True:
            try:
                await self._purge(await self._requests.sweep())
                await self._parts.sweep(self._clock.now_us() - UNFINISHED_US)
            except (LaternaError, OSError) as error:
                log.error("what has expired could not be deleted; trying again", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def _purge(self, keys: list[str]) -> None:
        for key in keys:
            with suppress(FileNotFound):
                await self._media.delete(key)
        if keys:
            await self._requests.purged(keys)
