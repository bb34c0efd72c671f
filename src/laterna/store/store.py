"""The store: a database, migrated, with one writer and readers beside it: a file in the data folder, or PostgreSQL.

The data folder is locked in both cases: the keys and the media in it are one server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine

from laterna.config import Settings
from laterna.errors import ConfigError, Unavailable
from laterna.private import private_folder
from laterna.store import postgres, sqlite
from laterna.store.lock import FolderLock
from laterna.store.migrate import migrate
from laterna.store.readers import Readers
from laterna.store.writer import Writer

T = TypeVar("T")


class Store:
    """Made by `open`; one in a data folder."""

    def __init__(self, lock: FolderLock, writing: Engine, reading: Engine) -> None:
        self._lock = lock
        self._writer = Writer(writing)
        self._readers = Readers(reading)
        self._writer.start()

    @classmethod
    async def open(cls, settings: Settings) -> Store:
        """Lock the folder, make or migrate the database. Raises ConfigError where either cannot be done."""
        store = await asyncio.to_thread(cls._open, settings)
        try:
            await store.write(lambda connection: None)
        except Unavailable as error:
            await store.close()
            raise ConfigError(error.message) from error
        return store

    @classmethod
    def _open(cls, settings: Settings) -> Store:
        try:
            private_folder(settings.data)
            lock = FolderLock.take(settings.data)
        except OSError as error:
            raise ConfigError(
                f"the data folder {settings.data} cannot be used: {error}; choose another with --data"
            ) from error
        try:
            writing, reading = _writing(settings), reading_engine(settings)
            migrate(writing)
        except BaseException:
            lock.free()
            raise
        return cls(lock, writing, reading)

    async def close(self) -> None:
        """Finish what waits, then let the folder go."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.stop()
        self._readers.stop()
        self._lock.free()

    async def write(self, run: Callable[[Connection], T], durable: bool = True) -> T:
        """Run it in the writer's next transaction; return once that is committed and, if `durable`, on the disk.

        `run` may be called on another thread and must do nothing but SQL. What it raises is raised here and undoes its
        changes alone. Raises Unavailable when the store cannot write; then nothing of it is kept.
        """
        return await self._writer.write(run, durable)

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run it off the event loop on a connection that cannot write. Raises Unavailable where it cannot."""
        return await self._readers.read(run)


def reading_engine(settings: Settings) -> Engine:
    """For connections that cannot write, beside a running server too."""
    if settings.store:
        return postgres.engine(settings.store, reading=True)
    return sqlite.reading_engine(settings.database)


def _writing(settings: Settings) -> Engine:
    return postgres.engine(settings.store) if settings.store else sqlite.writing_engine(settings.database)
