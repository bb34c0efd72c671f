"""The board: who waits for a request hears that something happened, from memory alone.

A waiter that begins to watch first and reads the request's state afterwards misses nothing. One that is slow keeps the
newest events. Knows no store: what is true stands there, and the board only says when to look.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from laterna.contracts.messages import Progress

KEPT = 32  # events for each watcher


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Its state, its logs or its place in the queue may have changed: read them."""

    request_id: str
    over: bool = True  # whether it may have settled by this: who waits for nothing else need not read otherwise


Event = Progress | Changed


class Watch:
    """What happens from the moment it was made until it is closed; a context manager and an async iterator."""

    def __init__(self, board: Board, request_id: str) -> None:
        self._board = board
        self._request_id = request_id
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    async def next(self, seconds: float) -> Event | None:
        """The next event, at once where there is one; None where none comes in time."""
        if self._events:
            return self._events.popleft()
        try:
            async with asyncio.timeout(seconds):
                return await anext(self)
        except TimeoutError:
            return None

    def close(self) -> None:
        self._board.leave(self._request_id, self)

    def tell(self, event: Event) -> None:
        """Called by the board. A second `Changed` says nothing new; where all is full, the oldest progress goes."""
        if isinstance(event, Changed) and event in self._events:
            return
        if len(self._events) >= KEPT:
            oldest = next(old for old in self._events if isinstance(old, Progress))
            self._events.remove(oldest)
        self._events.append(event)
        self._arrived.set()


def nobody(_: object) -> None:
    """Nobody else is told."""


class Board:
    """One for a server; used from its event loop alone."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self.began: Callable[[str], None] = nobody  # told the id of a request that somebody begins to watch
        self.passed: Callable[[Progress], None] = nobody  # told of all progress that is posted here

    def watch(self, request_id: str) -> Watch:
        """Begin to watch: from now on, not from the first `async for`. Close it, or use it in a `with`."""
        watch = Watch(self, request_id)
        self._watches.setdefault(request_id, set()).add(watch)
        self.began(request_id)
        return watch

    def watched(self, request_id: str) -> bool:
        """Whether anybody does."""
        return request_id in self._watches

    def all_watched(self) -> list[str]:
        """The ids of requests that somebody watches."""
        return list(self._watches)

    def changed(self, request_id: str, *, over: bool = True) -> None:
        """Wake its watchers to read it again; `over`: whether it may have settled."""
        self._tell(request_id, Changed(request_id=request_id, over=over))

    def all_changed(self) -> None:
        """Wake all watchers: anything may have happened."""
        for request_id in self._watches:
            self.changed(request_id)

    def progress(self, progress: Progress) -> None:
        """Of a worker of this server's."""
        self.progress_elsewhere(progress)
        self.passed(progress)

    def progress_elsewhere(self, progress: Progress) -> None:
        """Of another server's worker."""
        self._tell(progress.lease.request_id, progress)

    def leave(self, request_id: str, watch: Watch) -> None:
        """Called by a watch that is closed; twice does no harm."""
        watches = self._watches.get(request_id, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(request_id, None)

    def _tell(self, request_id: str, event: Event) -> None:
        for watch in self._watches.get(request_id, ()):
            watch.tell(event)
