"""The store: a database, migrated, with one writer and readers beside it: a file in the data folder, or PostgreSQL.

The data folder is locked in both cases: it is one server's. On PostgreSQL several servers may share the database; then
one of them dispatches (`lead`), and they hear from each other (`say`, `listen`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy import Connection, Engine

from laterna.config import Settings
from laterna.errors import ConfigError, Unavailable
from laterna.private import private_folder
from laterna.store import news, postgres, sqlite
from laterna.store.listening import Listening
from laterna.store.lock import FolderLock
from laterna.store.migrate import migrate
from laterna.store.readers import Readers
from laterna.store.writer import Writer

T = TypeVar("T")


class Store:
    """Made by `open`; one in a data folder."""

    def __init__(self, lock: FolderLock, writing: Engine, reading: Engine) -> None:
        self._lock = lock
        self._engine = writing
        self._digest: int | None = None  # of the secrets that others know this server to have
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

    @property
    def shared(self) -> bool:
        """Whether other servers may work on the database at the same time."""
        return self._engine.dialect.name != "sqlite"

    async def lead(self) -> bool:
        """Become the server that dispatches, or go on being it; False where another is. Raises Unavailable."""
        return not self.shared or await self.write(postgres.lead, durable=False)

    async def led(self) -> bool:
        """Whether any server dispatches. Raises Unavailable."""
        return not self.shared or await self.read(postgres.led)

    async def be_alike(self, digest: int) -> bool:
        """Be known to have secrets of this digest, of 31 bits; False where a running server has others."""
        self._digest = digest
        return not self.shared or await self.write(lambda connection: postgres.be_alike(connection, digest))

    async def say(self, topic: str, said: Iterable[str]) -> None:
        """Tell the other servers what need not be kept. Raises Unavailable."""
        if self.shared:
            await self.write(lambda connection: news.tell(connection, topic, *said), durable=False)

    async def listen(self, heard: Callable[[str, str], None], anew: Callable[[bool], None]) -> None:
        """Hear the other servers until cancelled, as `Listening` says; returns at once where there can be none."""
        if self.shared:
            await Listening(self._engine, heard, anew, self._digest).run()


def reading_engine(settings: Settings) -> Engine:
    """For connections that cannot write, beside a running server too."""
    if settings.store:
        return postgres.engine(settings.store, reading=True)
    return sqlite.reading_engine(settings.database)


def must_lead(connection: Connection) -> None:
    """To begin a write with that the dispatching server alone may make. Raises Unavailable in any other one's."""
    if connection.dialect.name != "sqlite":
        postgres.must_lead(connection)


def _writing(settings: Settings) -> Engine:
    return postgres.engine(settings.store) if settings.store else sqlite.writing_engine(settings.database)
