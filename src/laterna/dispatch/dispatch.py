"""Dispatch: the only one that leases and settles.

Leases at most `WINDOW` requests ahead to each worker that is ready, so that what waits stays ordered by the queue;
keeps the leases that workers beat for; settles outcomes; takes back what a dead worker held. Knows no engine and no
HTTP: its neighbours are `requests` below, the fleet beside it and the board, on which it posts progress.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from laterna.catalog.catalog import Catalog
from laterna.clock import Clock
from laterna.config import Settings
from laterna.contracts.messages import (
    Assign,
    Beat,
    Cancel,
    Failed,
    Finished,
    FromWorker,
    Lease,
    Note,
    Progress,
    Ready,
    Spent,
    Started,
    Watch,
)
from laterna.dispatch.estimates import Estimates
from laterna.errors import EndpointNotFound, GenerationTimeout, LaternaError, MissingWeights
from laterna.fleet.local import LocalFleet, LocalWorker
from laterna.requests.live import Board
from laterna.requests.requests import Leased, Requests

log = structlog.get_logger(__name__)

WINDOW = 24  # requests that a worker may hold: enough to fill a batch and have the next ready
TICK_SECONDS = 0.5


class Dispatch:
    """One per data folder. Hears the fleet."""

    def __init__(
        self, requests: Requests, catalog: Catalog, board: Board, estimates: Estimates, clock: Clock, settings: Settings
    ) -> None:
        self._requests = requests
        self._catalog = catalog
        self._board = board
        self._estimates = estimates
        self._clock = clock
        self._settings = settings
        self._fleet: LocalFleet | None = None
        self._held: dict[str, dict[str, Lease]] = {}  # worker -> token -> lease
        self._begun: dict[str, int] = {}  # token -> monotonic time of the first device call
        self._used: dict[
            str, dict[str, tuple[Lease, list[Spent]]]
        ] = {}  # worker -> token -> what it said it used so far
        self._settling: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    def attach(self, fleet: LocalFleet) -> None:
        self._fleet = fleet
        self._held = {name: {} for name in fleet.workers}
        self._used = {name: {} for name in fleet.workers}

    def wake(self) -> None:
        """Something may be leased now: a request came, or a worker has room."""
        self._wake.set()

    async def run(self) -> None:
        """Lease and tidy until cancelled."""
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TICK_SECONDS)
            self._wake.clear()
            try:
                await self._tidy()
                for worker in self._workers():
                    await self._fill(worker)
            except LaternaError as error:
                log.error("dispatch could not reach the store; trying again", error=error.message)
                await asyncio.sleep(TICK_SECONDS)

    async def stop(self) -> None:
        """Give back what workers hold; nothing of it counts as an attempt."""
        self._stopping = True
        await asyncio.gather(*self._settling, return_exceptions=True)
        for worker, held in self._held.items():
            await self._meter(worker)
            await self._requests.release(list(held.values()))
            held.clear()

    async def cancel(self, lease: Lease) -> None:
        """Tell the worker that holds the lease to stop at its next step."""
        self._tell(lease, Cancel(lease=lease))

    def watch(self, lease: Lease) -> None:
        """Tell the worker that somebody wants previews."""
        self._tell(lease, Watch(lease=lease))

    async def heard(self, worker: str, message: FromWorker) -> None:
        """Settle what a worker said. Under a lease that is no longer held only its end is heard, for what it used."""
        if isinstance(message, Ready):
            log.info("worker ready", worker=worker, device=message.device_name, memory=message.memory_bytes)
            self.wake()
        elif isinstance(message, Beat):
            await self._beat(worker, message)
        elif isinstance(message, Finished | Failed):
            if self._stopping:
                await self._settle(worker, message)
            else:
                self._settle_soon(worker, message)
        elif message.lease.token in self._held[worker]:
            await self._about(worker, message)

    async def lost(self, worker: str) -> None:
        """A worker died: what it held goes back to the queue, or fails once its attempts are used up."""
        held = self._held[worker]
        leases = list(held.values())
        held.clear()
        await self._meter(worker)
        if self._stopping:
            return
        for lease in leases:
            self._begun.pop(lease.token, None)
            self._estimates.lost(lease.request_id)
            note = "the worker died; the request goes back to the queue"
            await self._requests.crashed(lease, note)
            self._board.changed(lease.request_id)
        self.wake()

    def _workers(self) -> list[LocalWorker]:
        return [] if self._fleet is None else [w for w in self._fleet.workers.values() if w.ready is not None]

    async def _fill(self, worker: LocalWorker) -> None:
        held = self._held[worker.name]
        room = WINDOW - len(held)
        if room <= 0 or self._stopping:
            return
        for leased in await self._requests.lease(worker.name, room):
            held[leased.lease.token] = leased.lease
            await self._assign(worker, leased)

    async def _assign(self, worker: LocalWorker, leased: Leased) -> None:
        try:
            model = self._catalog.card(leased.card_id).ref()
        except EndpointNotFound:
            gone = f"model {leased.card_id!r} is no longer served here; its card was removed"
            await self._settle(worker.name, Failed(lease=leased.lease, code=MissingWeights.code, message=gone))
            return
        worker.send(
            Assign(
                lease=leased.lease,
                model=model,
                generation=leased.generation,
                tenant=leased.tenant,
                priority=leased.priority,
                created_us=leased.created_us,
                finish_by_us=leased.finish_by_us,
                attempt=leased.attempt,
            )
        )

    async def _meter(self, worker: str) -> None:
        """Write down what it was seen to use for what it has not ended, and never will."""
        used, self._used[worker] = self._used[worker], {}
        for lease, spent in used.values():
            await self._requests.meter(lease, spent)

    async def _about(self, worker: str, message: Started | Progress | Note) -> None:
        lease = message.lease
        if isinstance(message, Started):
            self._begun[lease.token] = self._clock.monotonic_ns()
            await self._requests.started(lease)
            self._board.changed(lease.request_id)
        elif isinstance(message, Progress):
            self._used[worker][lease.token] = (lease, message.spent)
            self._estimates.heard(message)
            self._board.progress(message)
        else:
            await self._requests.note(lease, message.level, message.message)

    def _settle_soon(self, worker: str, message: Finished | Failed) -> None:
        """Beside what the worker says next, so that requests that end together share a commit."""
        task = asyncio.create_task(self._settle(worker, message))
        self._settling.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        """What could not be settled is run again once its lease has run out."""
        self._settling.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a result could not be kept", exc_info=task.exception())

    async def _settle(self, worker: str, message: Finished | Failed) -> None:
        lease = message.lease
        if isinstance(message, Finished):
            await self._requests.finish(message)
        else:
            await self._requests.fail(message)
        if message.spent:
            self._used[worker].pop(lease.token, None)
        self._begun.pop(lease.token, None)
        if self._held[worker].pop(lease.token, None) is None:
            return  # it was taken back before: what it used is written, and who has it now goes on
        self._estimates.settled(message)
        self._board.changed(lease.request_id)
        self.wake()

    async def _beat(self, worker: str, beat: Beat) -> None:
        for seen in beat.observed:
            self._estimates.learn(seen)
        held = self._held[worker]
        known = [lease for lease in beat.leases if lease.token in held]
        for lost in await self._requests.renew(known):
            held.pop(lost.token, None)
            self._tell_worker(worker, Cancel(lease=lost))

    async def _tidy(self) -> None:
        """Take back leases that ran out, end what waited or ran too long."""
        for request_id in await self._requests.reclaim():
            self._take_back(request_id)
            self._board.changed(request_id)
        longest = self._settings.generation_seconds
        now = self._clock.monotonic_ns()
        for worker, held in self._held.items():
            for lease in list(held.values()):
                if (now - self._begun.get(lease.token, now)) / 1e9 > longest:
                    late = f"the request ran longer than {longest:g} s; ask for fewer steps or pictures"
                    self._tell_worker(worker, Cancel(lease=lease))
                    await self._settle(worker, Failed(lease=lease, code=GenerationTimeout.code, message=late))

    def _take_back(self, request_id: str) -> None:
        """Its lease is over: whoever holds it works in vain."""
        for worker, held in self._held.items():
            for lease in [lease for lease in held.values() if lease.request_id == request_id]:
                held.pop(lease.token)
                self._begun.pop(lease.token, None)
                self._estimates.lost(request_id)
                self._tell_worker(worker, Cancel(lease=lease))

    def _tell(self, lease: Lease, message: Cancel | Watch) -> None:
        for worker, held in self._held.items():
            if lease.token in held:
                self._tell_worker(worker, message)

    def _tell_worker(self, worker: str, message: Cancel | Watch) -> None:
        if self._fleet is not None:
            self._fleet.workers[worker].send(message)
