"""Reads beside the writer: a few threads, each with a connection of its own that cannot write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from laterna.errors import Unavailable
from laterna.store.writer import unavailable

T = TypeVar("T")

THREADS = 2


class Readers:
    """Open from the first read until `stop`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own = threading.local()
        self._opened: list[Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")

    def stop(self) -> None:
        """Finish the reads that wait; close the connections."""
        self._pool.shutdown()
        for connection in self._opened:
            connection.close()

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run it in one transaction, which sees the store as of one moment. Raises Unavailable when it cannot."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._run, run)
        except OperationalError as error:
            raise unavailable(error) from error
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            raise Unavailable("the server is stopping; send the request again when it is back") from error

    def _run(self, run: Callable[[Connection], T]) -> T:
        connection = self._connection()
        with connection.begin():
            return run(connection)

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._engine.connect()
            self._opened.append(connection)
        return connection
