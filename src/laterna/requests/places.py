"""How many wait before a request, cheaply: clients ask ten times a second, in a queue of thousands.

Near the front it is counted; further back it is looked up in a picture of the queue that is at most a second old.
"""

from __future__ import annotations

import threading
from bisect import bisect_left

from sqlalchemy import Connection

from laterna.clock import Clock
from laterna.queue.waiting import Place, places, position

EXACT = 500  # counted to the last one up to here
PICTURE_NS = 1_000_000_000


class Places:
    """One for a store; called from its threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._picture: list[Place] = []
        self._taken_ns: int | None = None

    def ahead(self, connection: Connection, place: Place) -> int:
        """0 for the next one; beyond EXACT as it was within the last second."""
        near = position(connection, place, EXACT + 1)
        return near if near <= EXACT else max(near, bisect_left(self._seen(connection), place))

    def _seen(self, connection: Connection) -> list[Place]:
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            if self._taken_ns is None or now_ns - self._taken_ns >= PICTURE_NS:
                self._picture = places(connection)
                self._taken_ns = now_ns
            return self._picture
