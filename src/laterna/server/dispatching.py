"""Whether this server dispatches, and all that it does only then: workers, leases, deliveries, tidying.

Of the servers on a database one dispatches: the one whose writer holds the lock (`laterna.store.postgres`). The others
look every second whether they can have it; on SQLite a server is alone and has it at once. A server that lost it can
lease nothing from that moment, whatever it believes; when it sees that another has it, it stops its workers, and what
they still say settles nothing, for their leases are void. Where the database is away nobody can know, and it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog

from laterna import metrics
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import FromWorker, Lease
from laterna.contracts.station import Station
from laterna.dispatch.dispatch import Dispatch
from laterna.dispatch.windows import Window
from laterna.errors import LaternaError
from laterna.fleet.local import Hearer, LocalFleet
from laterna.requests.requests import Requests
from laterna.server.kept import End, keep
from laterna.store.store import Store

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0  # between two looks at who dispatches
NOBODY = "no server on this database dispatches: start one without api_only"
Loop = Callable[[], Coroutine[Any, Any, None]]


class Dispatching:
    """One for a server; used from its event loop alone. Hears the fleet, for the dispatch of the moment."""

    def __init__(
        self,
        store: Store,
        requests: Requests,
        make: Callable[[], Dispatch],
        workplaces: Sequence[Station],
        beside: Sequence[Loop],
        end: End,
        *,
        never: bool = False,
    ) -> None:
        """
        Args:
            make: a new dispatch, each time that this server begins.
            beside: what else the dispatching server alone does.
            end: the server's, that a bug ends.
            never: whether it leaves the lock to others.
        """
        self._store = store
        self._requests = requests
        self._make = make
        self._workplaces = list(workplaces)
        self._beside = beside
        self._end = end
        self._never = never
        self._hearer: Hearer = self
        self._term = AsyncExitStack()  # what runs while it dispatches
        self._fleet: LocalFleet | None = None
        self._led = True  # whether any server dispatches, as far as is known
        self.dispatch: Dispatch | None = None  # absent while another server dispatches

    def attach(self, hearer: Hearer) -> None:
        """Who hears the workers first, and hands on what they say."""
        self._hearer = hearer

    @property
    def role(self) -> str:
        return "replica" if self.dispatch is None else "dispatcher"

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while self._store.shared:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Begin to dispatch where nobody does, stop where another does."""
        try:
            leads = not self._never and await self._store.lead()
            self._led = leads or await self._store.led()
            if leads and self.dispatch is None:
                await self._begin()
        except LaternaError as error:
            log.warning("who dispatches cannot be known now", error=error.message)
            return
        if not leads and self.dispatch is not None:
            log.error("another server dispatches: this one stops its workers")
            try:
                await self.stop()
            except LaternaError as error:
                log.warning("what workers held could not be given back; their leases run out", error=error.message)

    async def _begin(self) -> None:
        await self._requests.recover()
        dispatch = self._make()
        fleet = LocalFleet(self._workplaces, self._hearer)
        dispatch.attach(fleet)
        self.dispatch, self._fleet = dispatch, fleet
        fleet.start()
        keep(self._term, fleet.watch(), self._end)
        self._term.push_async_callback(fleet.stop)
        self._term.push_async_callback(dispatch.stop)
        for loop in (dispatch.run, *self._beside):
            keep(self._term, loop(), self._end)
        metrics.DISPATCHES.set(1)
        if self._store.shared:
            log.info("this server dispatches")

    async def stop(self) -> None:
        """Stop what only the dispatching server does; what workers hold goes back to the queue."""
        metrics.DISPATCHES.set(0)
        try:
            await self._term.aclose()
        finally:
            self.dispatch = self._fleet = None

    # What the fleet says.

    async def heard(self, worker: str, message: FromWorker) -> None:
        if self.dispatch is not None:
            await self.dispatch.heard(worker, message)

    async def lost(self, worker: str) -> None:
        if self.dispatch is not None:
            await self.dispatch.lost(worker)

    # What the surfaces ask. Other servers' dispatch learns of it by the database.

    def windows(self) -> Mapping[str, Window]:
        """What each worker of this server holds."""
        return {} if self.dispatch is None else self.dispatch.windows

    async def cancel(self, lease: Lease) -> None:
        """Tell the worker that holds the lease to stop, if it is one of this server's."""
        if self.dispatch is not None:
            await self.dispatch.cancel(lease)

    def wake(self) -> None:
        """Something may be leased now."""
        if self.dispatch is not None:
            self.dispatch.wake()

    def problem(self) -> str | None:
        """Why nothing can be generated now; None when all is well, as far as this server knows."""
        if self._fleet is not None:
            return self._fleet.problem()
        return None if self._led else NOBODY

    def refusal(self, model: ModelRef) -> LaternaError | None:
        """Why no worker will ever run the model; None where one may, and where other servers' workers do."""
        return None if self._fleet is None else self._fleet.refusal(model)
