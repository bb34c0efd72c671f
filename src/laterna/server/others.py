"""The other servers on the database: what this one hears from them, and what it tells them that no transaction tells.

A request's every change comes with the transaction that made it. Beyond that, a server whose clients watch requests
that another's workers run asks for their progress, again and again as long as they are watched, and gets it from the
server that dispatches. All of this may be lost at any time: who waits looks now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import msgspec
import structlog

from laterna.clock import Clock
from laterna.contracts.messages import Lease, Progress
from laterna.errors import LaternaError
from laterna.requests.live import Board
from laterna.server.dispatching import Dispatching
from laterna.store.news import KEY, REQUEST
from laterna.store.store import Store
from laterna.tenants.keys import Keys

log = structlog.get_logger(__name__)

PROGRESS = "progress"  # topic: how far a request is
WATCH = "watch"  # topic: the lease of a request of which previews are wanted
WANTED = "wanted"  # topic: ids of requests whose progress is wanted
ASK_SECONDS = 2.0
WANTED_SECONDS = 3 * ASK_SECONDS  # without being asked again
MOST_UNSAID = 256  # progress that waits for the database; the oldest goes


class Others:
    """One for a server; used from its event loop alone."""

    def __init__(self, store: Store, board: Board, keys: Keys, dispatching: Dispatching, clock: Clock) -> None:
        self._store = store
        self._board = board
        self._keys = keys
        self._dispatching = dispatching
        self._clock = clock
        self._wanted: dict[str, int] = {}  # request id -> until when, monotonic nanoseconds
        self._unsaid: deque[Progress] = deque(maxlen=MOST_UNSAID)
        self._begun: list[str] = []  # requests that clients here began to watch, not asked for yet
        self._asked_ns = 0  # when all that are watched were asked for, monotonic
        self._leases: list[Lease] = []  # of which previews are wanted, not said yet
        self._woken = asyncio.Event()

    async def listen(self) -> None:
        """Hear them until cancelled; returns at once where there can be none."""
        await self._store.listen(self._heard, self._anew)

    async def tell(self) -> None:
        """Tell them until cancelled; returns at once where there can be none."""
        if not self._store.shared:
            return
        self._board.began = self._began
        self._board.passed = self._passed
        while True:
            self._woken.clear()
            with suppress(LaternaError):  # the store is away, and nobody hears
                await self._say()
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_SECONDS):
                    await self._woken.wait()

    def watch(self, lease: Lease) -> None:
        """Previews are wanted of whoever holds the lease, here or there."""
        if self._dispatching.dispatch is not None:
            self._dispatching.dispatch.watch(lease)
        elif self._store.shared:
            self._leases.append(lease)
            self._woken.set()

    async def _say(self) -> None:
        """What is to be told now."""
        leases, self._leases = self._leases, []
        unsaid = list(self._unsaid)
        self._unsaid.clear()
        if wanted := self._to_ask():
            await self._store.say(WANTED, [" ".join(wanted)])
        if leases:
            await self._store.say(WATCH, [msgspec.json.encode(lease).decode() for lease in leases])
        if unsaid:
            await self._store.say(PROGRESS, [msgspec.json.encode(one).decode() for one in unsaid])

    def _to_ask(self) -> list[str]:
        """Requests of which another server should tell: those that are new, and all of them now and then."""
        begun, self._begun = self._begun, []
        if self._dispatching.dispatch is not None:
            return []
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._asked_ns < ASK_SECONDS * 1e9:
            return begun
        self._asked_ns = now_ns
        return self._board.all_watched()

    def _began(self, request_id: str) -> None:
        """A client here watches it."""
        if self._dispatching.dispatch is None:
            self._begun.append(request_id)
            self._woken.set()

    def _passed(self, progress: Progress) -> None:
        """A worker of this server is so far."""
        if self._wanted.get(progress.lease.request_id, 0) > self._clock.monotonic_ns():
            self._unsaid.append(msgspec.structs.replace(progress, spent=[]))
            self._woken.set()

    def _anew(self, hears: bool) -> None:
        """From now on others are heard, and anything may have changed before; or they are heard no more."""
        self._keys.remember(hears)
        if hears:
            self._board.all_changed()
            if self._dispatching.dispatch is not None:
                self._dispatching.dispatch.all_changed()

    def _heard(self, topic: str, said: str) -> None:
        dispatch = self._dispatching.dispatch
        try:
            if topic == REQUEST:
                self._board.changed(said)
                if dispatch is not None:
                    dispatch.changed_elsewhere(said)
            elif topic == KEY:
                self._keys.changed_elsewhere(said)
            elif topic == PROGRESS:
                self._board.progress_elsewhere(msgspec.json.decode(said, type=Progress))
            elif topic == WATCH and dispatch is not None:
                dispatch.watch(msgspec.json.decode(said, type=Lease))
            elif topic == WANTED:
                self._want(said.split())
        except msgspec.DecodeError as error:
            log.warning("another server says what this version does not know", topic=topic, error=str(error))

    def _want(self, request_ids: list[str]) -> None:
        now_ns = self._clock.monotonic_ns()
        self._wanted = {one: until for one, until in self._wanted.items() if until > now_ns}
        self._wanted.update(dict.fromkeys(request_ids, now_ns + round(WANTED_SECONDS * 1e9)))
