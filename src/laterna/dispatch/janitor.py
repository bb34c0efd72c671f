"""The janitor: deletes what has expired, records first and bytes after, so that nothing that is listed is missing; and
what no record knows, as a worker that dies leaves it.
"""

from __future__ import annotations

import asyncio
import secrets

import structlog
from obstore.exceptions import BaseError

from laterna.clock import Clock
from laterna.config import Settings
from laterna.errors import FileNotFound, LaternaError
from laterna.media.objects import SHELVES, MediaStore
from laterna.media.parts import Parts
from laterna.requests.requests import Requests

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
UNFINISHED_US = 24 * 3_600_000_000  # an upload in parts that nobody went on with for so long is dropped
AT_ONCE = 200  # files between two looks into the store
SHELVES_A_PASS = 8  # of the media store are looked through, so that all are in some hours


class Janitor:
    """Once a minute."""

    def __init__(self, requests: Requests, media: MediaStore, parts: Parts, clock: Clock, settings: Settings) -> None:
        self._requests = requests
        self._media = media
        self._parts = parts
        self._clock = clock
        # A run's first picture may be this old when its last is settled; twice, as nobody waits for it to go.
        self._settling_us = max(UNFINISHED_US, 2 * round(settings.generation_seconds * 1e6))
        self._shelf = secrets.randbelow(len(SHELVES))

    async def run(self) -> None:
        """Tidy until cancelled."""
        while True:
            for task in (self._purge_expired, self._purge_unfinished, self._purge_strangers):
                try:
                    await task()
                except (LaternaError, OSError, BaseError) as error:
                    log.error("what has expired could not be deleted; trying again", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def _purge_expired(self) -> None:
        """All there is; what cannot be deleted now is left for the next time and holds up nothing else."""
        stuck: set[str] = set()
        while keys := [key for key in await self._requests.sweep(AT_ONCE + len(stuck)) if key not in stuck]:
            stuck |= set(keys) - set(gone := [key for key in keys if await self._delete(key)])
            await self._requests.purged(gone)

    async def _purge_unfinished(self) -> None:
        await self._parts.sweep(self._clock.now_us() - UNFINISHED_US)

    async def _purge_strangers(self) -> None:
        """Files without a record that are too old for one to come, on the next few shelves."""
        before_us = self._clock.now_us() - self._settling_us
        for _ in range(SHELVES_A_PASS):
            self._shelf = (self._shelf + 1) % len(SHELVES)
            async for keys in self._media.older(SHELVES[self._shelf], before_us):
                strangers = await self._requests.strangers(keys)
                gone = [key for key in strangers if await self._delete(key)]
                if gone:
                    log.info("files that nobody knows of were deleted", count=len(gone))

    async def _delete(self, key: str) -> bool:
        """Whether it is gone."""
        try:
            await self._media.delete(key)
        except FileNotFound:
            return True  # it never was
        except LaternaError as error:
            log.error("a file could not be deleted; trying again", error=str(error))
            return False
        return True
