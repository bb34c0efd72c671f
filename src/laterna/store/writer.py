"""The one writer: a thread that puts all writes that wait into one durable transaction, again and again (group commit).

There is no timer: while one group is on its way to the disk the next one gathers. Each write runs in a savepoint, so
that one that fails takes nothing else with it. Knows nothing of what is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from laterna import metrics
from laterna.errors import Unavailable
from laterna.store import postgres, sqlite

T = TypeVar("T")

MAX_WAITING = 10_000  # writes; beyond, callers are refused rather than kept
MAX_GROUP = 512  # writes in one transaction, so that none waits long for its neighbours


@dataclass(kw_only=True, eq=False)
class _Write:
    run: Callable[[Connection], Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    value: Any = field(default=None)  # what `run` gave
    error: Exception | None = field(default=None)  # or what it raised

    def tell(self) -> None:
        """Resolve the future, in its loop. Whoever waited may be gone."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Open between `start` and `stop`. `write` may be called from any event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[_Write] = deque()
        self._changed = threading.Condition()
        self._open = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    def start(self) -> None:
        self._open = True
        self._thread.start()

    def stop(self) -> None:
        """Refuse new writes, finish those that wait, end the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    async def write(self, run: Callable[[Connection], T], durable: bool = True) -> T:
        """Run it in the next group; return its result once the group is committed and, if `durable`, on the disk.

        What `run` raises is raised here and undoes its changes alone. Raises Unavailable when the store is closed, too
        far behind, or cannot write; then nothing of it is kept.
        """
        loop = asyncio.get_running_loop()
        write = _Write(run=run, durable=durable, loop=loop, future=loop.create_future())
        with self._changed:
            if not self._open:
                raise Unavailable("the server is stopping; send the request again when it is back")
            if len(self._waiting) >= MAX_WAITING:
                raise Unavailable(f"{MAX_WAITING} writes wait for the disk; try again in a moment")
            self._waiting.append(write)
            self._changed.notify()
        result: T = await write.future
        return result

    def _work(self) -> None:
        with self._engine.connect() as connection:
            while group := self._gather():
                try:
                    with metrics.COMMITS.time():
                        _commit(connection, group)
                    metrics.WRITES.observe(len(group))
                except Exception as error:  # noqa: BLE001 - the thread's edge: each caller is told
                    for write in group:
                        write.error = unavailable(error)
                _tell(group)
            if connection.dialect.name != "sqlite":
                with contextlib.suppress(DBAPIError):  # it is lost, and what it held with it
                    postgres.let_go(connection)

    def _gather(self) -> list[_Write]:
        """What waits now, at least one; nothing once the writer is stopped and all is done."""
        with self._changed:
            while not self._waiting and self._open:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]


def _commit(connection: Connection, group: list[_Write]) -> None:
    own = sqlite if connection.dialect.name == "sqlite" else postgres
    with own.transaction(connection, any(write.durable for write in group)):
        for write in group:
            try:
                with own.savepoint(connection):
                    write.value = write.run(connection)
            except Exception as error:
                if own.lost(connection):
                    raise
                away = isinstance(error, OperationalError | sqlite3.OperationalError)
                write.error = unavailable(error) if away else error


def unavailable(error: Exception) -> Unavailable:
    """The store's own trouble, as its callers are told it."""
    if isinstance(error, Unavailable):
        return error
    reason = error.orig if isinstance(error, DBAPIError) else error
    told = Unavailable(f"the store cannot be used: {reason}; nothing was changed, try again")
    told.__cause__ = error
    return told


def _tell(group: list[_Write]) -> None:
    """One wake-up for each event loop. A loop that was closed has nobody to tell."""
    for loop in {write.loop for write in group}:
        mine = [write for write in group if write.loop is loop]
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(group: list[_Write]) -> None:
    for write in group:
        write.tell()
