"""One connection of a server on which it hears what the others on its PostgreSQL tell (LISTEN).

A connection that is lost is made again, and then everything may have changed: `anew` is called, as at the beginning.
Neighbour: `news`, which tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from laterna.store import postgres
from laterna.store.news import CHANNEL, Pieces

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 0.5


class Listening:
    """Of one store; used from one event loop."""

    def __init__(
        self,
        engine: Engine,
        heard: Callable[[str, str], None],
        anew: Callable[[bool], None],
        digest: int | None = None,
    ) -> None:
        """
        Args:
            heard: told the topic and what another server said of it.
            anew: told True once it listens, after whatever was missed; False when it listens no more.
            digest: of the secrets that it is known to have, as long as it listens; absent: nobody knows.
        """
        self._engine = engine
        self._heard = heard
        self._anew = anew
        self._digest = digest

    async def run(self) -> None:
        """Listen until cancelled."""
        import psycopg  # an extra: a server on SQLite is without

        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("other servers cannot be heard; trying again", error=str(error).strip())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Until the connection is lost."""
        import psycopg

        pieces = Pieces(postgres.origin(self._engine))
        async with await psycopg.AsyncConnection.connect(
            **postgres.parameters(self._engine), autocommit=True
        ) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            if self._digest is not None:
                await connection.execute(f"SELECT pg_advisory_lock_shared({postgres.ALIKE}, {self._digest})")
            self._anew(True)
            try:
                async for notified in connection.notifies():
                    if (said := pieces.take(notified.payload)) is not None:
                        self._heard(*said)
            finally:
                self._anew(False)
