"""Dispatch: the only one that leases and settles, for as long as its server is the one that does.

Keeps a bounded window of leases in each worker's hands, in the policy's order, and revokes what has not begun where
urgent work finds it full; keeps the leases that workers beat for; settles outcomes; takes back what a dead worker
held. Knows no engine and no HTTP: its neighbours are `choosing`, which decides who is leased where, `requests` below,
the fleet beside it and the board, on which it posts progress.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from laterna.catalog.catalog import Catalog
from laterna.clock import Clock
from laterna.config import Settings
from laterna.contracts.generation import ModelRef
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
    Resumed,
    Spent,
    Started,
    Watch,
)
from laterna.dispatch.choosing import Choosing
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.dispatch.windows import Holding, Window
from laterna.errors import GenerationTimeout, LaternaError, Unavailable
from laterna.fleet.local import LocalFleet
from laterna.requests.live import Board
from laterna.requests.requests import Chosen, Leased, Requests, Waiting

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
LOOK_SECONDS = 0.5  # between two looks at all that waits, at least
LOOK_SPARING = 20  # times as long as the last look took
AWAY_SECONDS = 0.5  # between two tries to keep a result while the store is away
SET_SECONDS = 2.0  # that the machine's clock was set by, at least, to matter


class Dispatch:
    """One for each time that a server dispatches. Hears the fleet."""

    def __init__(
        self,
        requests: Requests,
        catalog: Catalog,
        board: Board,
        estimates: Estimates,
        etas: Etas,
        clock: Clock,
        settings: Settings,
        logged: set[str],
    ) -> None:
        """`logged`: requests whose webhooks are to be told of what was logged; it is filled."""
        self._requests = requests
        self._board = board
        self._estimates = estimates
        self._etas = etas
        self._clock = clock
        self._settings = settings
        self._fleet: LocalFleet | None = None
        self._choosing = Choosing(catalog, estimates, clock, self._refusal)
        self.windows: dict[str, Window] = {}  # what each worker, by name, holds
        self._used: dict[str, dict[str, tuple[Lease, list[Spent]]]] = {}  # worker -> token -> what it used so far
        self._heard_ns: dict[str, int] = {}  # worker -> monotonic time of its last word
        self._replaced: dict[str, str] = {}  # worker -> why its process is being ended
        self._logged = logged
        self._settling: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._look_s = 0.0  # when the ETAs look next, monotonic
        self._tidy_s = 0.0  # when what is too late is looked for next, monotonic
        self._stopping = False
        self._skew_us = self._skew()  # how far the wall's clock is from the steady one
        self._elsewhere: set[str] = set()  # requests that other servers changed since the last look at them
        self._doubtful = False  # whether leases may have run out by no fault of their workers

    def attach(self, fleet: LocalFleet) -> None:
        self._fleet = fleet
        self.windows = {name: Window(worker=name) for name in fleet.workers}
        self._used = {name: {} for name in fleet.workers}

    def wake(self) -> None:
        """Something may be leased now: a request came, or a worker has room."""
        self._wake.set()

    def changed_elsewhere(self, request_id: str) -> None:
        """Another server put it into the queue, cancelled it, or wrote to it otherwise."""
        self._elsewhere.add(request_id)
        self.wake()

    def all_changed(self) -> None:
        """Nobody knows what other servers changed."""
        for window in self.windows.values():
            self._elsewhere |= {holding.lease.request_id for holding in window.held.values()}
        self.wake()

    async def run(self) -> None:
        """Lease and tidy until cancelled."""
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._tidy()
                await self._look(await self._lease())
            except LaternaError as error:
                self._doubtful = True
                log.error("dispatch could not reach the store; trying again", error=error.message)
                await asyncio.sleep(TICK_SECONDS)

    async def stop(self) -> None:
        """Give back what workers hold; nothing of it counts as an attempt."""
        self._stopping = True
        await asyncio.gather(*self._settling, return_exceptions=True)
        for worker, window in self.windows.items():
            await self._meter(worker)
            await self._requests.release([holding.lease for holding in window.held.values()])
            window.held.clear()

    async def cancel(self, lease: Lease) -> None:
        """Tell the worker that holds the lease to stop at its next step."""
        self._tell(lease, Cancel(lease=lease))

    def watch(self, lease: Lease) -> None:
        """Tell the worker that somebody wants previews."""
        self._tell(lease, Watch(lease=lease))

    async def heard(self, worker: str, message: FromWorker) -> None:
        """Settle what a worker said. Under a lease that is no longer held only its end is heard, for what it used."""
        with structlog.contextvars.bound_contextvars(**self._named(worker, message)):
            await self._hear(worker, message)

    def _named(self, worker: str, message: FromWorker) -> dict[str, str]:
        """What every line of log meanwhile carries."""
        if isinstance(message, Ready | Beat):
            return {"worker": worker}
        holding = self.windows[worker].held.get(message.lease.token)
        about = {"worker": worker, "request_id": message.lease.request_id}
        return about if holding is None else {**about, "tenant": holding.tenant}

    async def _hear(self, worker: str, message: FromWorker) -> None:
        self._heard_ns[worker] = self._clock.monotonic_ns()
        if isinstance(message, Ready):
            log.info("worker ready", device=message.device_name, memory=message.memory_bytes)
            self.windows[worker].device, self.windows[worker].ready = message, True
            self.wake()
        elif isinstance(message, Beat):
            await self._beat(worker, message)
        elif isinstance(message, Finished | Failed):
            if self._stopping:
                await self._settle(worker, message)
            else:
                self._settle_soon(worker, message)
        elif message.lease.token in self.windows[worker].held:
            await self._about(worker, self.windows[worker].held[message.lease.token], message)

    async def lost(self, worker: str) -> None:
        """A worker died: what it held goes back to the queue, or fails once its attempts are used up."""
        window, why = self.windows[worker], self._replaced.pop(worker, "the worker died")
        window.ready, window.resident = False, frozenset()
        holdings = list(window.held.values())
        window.held.clear()
        await self._meter(worker)
        if self._stopping:
            return
        for holding in holdings:
            request_id = holding.lease.request_id
            self._estimates.lost(request_id)
            note = f"{why}; the request goes back to the queue"
            await self._requests.crashed(holding.lease, note, holding.touched)
            self._board.changed(request_id)
        self.wake()

    async def _look(self, page: list[Waiting]) -> None:
        """Have the ETAs see where things stand; the less often, the more waits."""
        begun_s = self._clock.monotonic_ns() / 1e9
        if begun_s < self._look_s:
            return
        self._etas.look(page, await self._requests.totals() if page else [], list(self.windows.values()))
        now_s = self._clock.monotonic_ns() / 1e9
        self._look_s = now_s + max(LOOK_SECONDS, LOOK_SPARING * (now_s - begun_s))

    async def _lease(self) -> list[Waiting]:
        """Choose among those that wait, take back what must make room for them, lease, assign; returns the page."""
        page = await self._requests.waiting()
        if self._stopping or not any(window.ready for window in self.windows.values()):
            return page
        chosen = self._choosing.choose(page, list(self.windows.values()))
        for request_id, error in chosen.hopeless:
            await self._refuse(request_id, error)
        for worker, holding in chosen.revoked:
            await self._revoke(worker, holding)
            self.wake()
        for worker, some in chosen.given.items():
            await self._fill(self.windows[worker], some)
        return page

    async def _fill(self, window: Window, chosen: list[Chosen]) -> None:
        process = window.device
        leased = await self._requests.lease(window.worker, len(chosen), chosen)
        if self._stopping or not window.ready or window.device is not process:  # it died, and never heard of them
            await self._requests.release([one.lease for one in leased])
            return
        for one in leased:
            holding = self._choosing.holding(one, window.worker)
            window.held[one.lease.token] = holding
            self._assign(window.worker, one)

    async def _refuse(self, request_id: str, error: LaternaError) -> None:
        """No worker can ever run it."""
        nobody = next(iter(self.windows))
        for leased in await self._requests.lease(nobody, 1, [Chosen(id=request_id)]):
            await self._requests.fail(Failed(lease=leased.lease, code=error.code, message=error.message))
            self._board.changed(request_id)

    async def _revoke(self, worker: str, holding: Holding) -> None:
        """It has not begun, and others come first: it waits again, and no attempt counts."""
        if self.windows[worker].held.pop(holding.lease.token, None) is None:
            return
        self._tell_worker(worker, Cancel(lease=holding.lease, waits_again=True))
        await self._requests.release([holding.lease], "more urgent work took its place")
        self._board.changed(holding.lease.request_id)

    def _assign(self, worker: str, leased: Leased) -> None:
        self._tell_worker(
            worker,
            Assign(
                lease=leased.lease,
                model=self._choosing.model(leased.card_id),
                generation=leased.generation,
                tenant=leased.tenant,
                weight=leased.weight,
                priority=leased.priority,
                created_us=leased.created_us,
                finish_by_us=leased.finish_by_us,
                attempt=leased.attempt,
            ),
        )

    async def _meter(self, worker: str) -> None:
        """Write down what it was seen to use for what it has not ended, and never will."""
        used, self._used[worker] = self._used[worker], {}
        for lease, spent in used.values():
            await self._requests.meter(lease, spent)

    async def _about(self, worker: str, holding: Holding, message: Started | Resumed | Progress | Note) -> None:
        lease = message.lease
        if isinstance(message, Started):
            holding.begun_ns = self._clock.monotonic_ns()
            await self._requests.started(lease, message.plan)
            self._board.changed(lease.request_id, over=False)
        elif isinstance(message, Resumed):
            await self._requests.note(lease, "INFO", f"it goes on after step {message.step}, where it was saved")
            await self._requests.resumed(lease, message.former, message.spent)
        elif isinstance(message, Progress):
            self._used[worker][lease.token] = (lease, message.spent)
            holding.touched = holding.touched or message.stage != "fetch"
            if message.stage not in ("fetch", "load"):
                self._etas.worked(worker, holding.left_s - message.remaining_s)
                holding.left_s = message.remaining_s
            self._estimates.heard(message)
            self._board.progress(message)
            self._logs(holding)
        else:
            await self._requests.note(lease, message.level, message.message)
            self._logs(holding)

    def _logs(self, holding: Holding) -> None:
        if holding.tells_logs:
            self._logged.add(holding.lease.request_id)

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
        await self._keep(message)
        if message.spent:
            self._used[worker].pop(lease.token, None)
        holding = self.windows[worker].held.pop(lease.token, None)
        if holding is None:
            return  # it was taken back before: what it used is written, and who has it now goes on
        well = isinstance(message, Finished)
        self._etas.worked(worker, holding.left_s if well else 0.0)
        self._etas.ended(lease.request_id, well)
        self._estimates.settled(message)
        self._board.changed(lease.request_id)
        self.wake()

    async def _keep(self, message: Finished | Failed) -> None:
        """Write the result down, however long the store is away; a stop waits for no store."""
        while True:
            try:
                if isinstance(message, Finished):
                    await self._requests.finish(message)
                else:
                    await self._requests.fail(message)
                return
            except Unavailable as trouble:
                if self._stopping:
                    raise
                self._doubtful = True
                log.error("a result could not be kept; trying again", error=trouble.message)
                await asyncio.sleep(AWAY_SECONDS)

    async def _beat(self, worker: str, beat: Beat) -> None:
        for seen in beat.observed:
            self._estimates.learn(worker, seen)
        self.windows[worker].resident = frozenset(beat.resident)
        if beat.call is not None and beat.call.seconds > beat.call.longest_s:
            call = f"a call ({beat.call.stage}, {beat.call.model}) hangs since {beat.call.seconds:.0f} s"
            self._replace(worker, f"{call}; its worker is replaced")
            return
        held = self.windows[worker].held
        await self._renew(worker, [lease for lease in beat.leases if lease.token in held])

    async def _renew(self, worker: str, leases: list[Lease]) -> None:
        """Keep them a while longer; those that have ended are the worker's no more."""
        for lost in await self._requests.renew(leases):
            self.windows[worker].held.pop(lost.token, None)
            self._tell_worker(worker, Cancel(lease=lost, waits_again=True))

    def _replace(self, worker: str, why: str) -> None:
        """End its process as a crash would; the fleet starts another, and the requests go on from their checkpoints."""
        log.error("a worker is replaced", worker=worker, reason=why)
        self._replaced[worker] = why
        if self._fleet is not None:
            self._fleet.replace(worker, why)

    async def _tidy(self) -> None:
        """Take back leases that ran out, end what waited or ran too long: once a tick, however often it is woken."""
        await self._believe()
        await self._cancel_asked()
        now_s = self._clock.monotonic_ns() / 1e9
        if now_s < self._tidy_s:
            return
        self._tidy_s = now_s + TICK_SECONDS
        for request_id in await self._requests.reclaim():
            self._take_back(request_id)
            self._board.changed(request_id)
        for request_id, lease in (await self._requests.cancel_outlived()).items():
            if lease is not None:
                await self.cancel(lease)
            self._board.changed(request_id)
        longest = self._settings.generation_seconds
        now = self._clock.monotonic_ns()
        for worker, window in self.windows.items():
            silent_s = (now - self._heard_ns.get(worker, now)) / 1e9
            if window.ready and silent_s > self._settings.hang_seconds:
                self._replace(worker, f"the worker said nothing for {silent_s:.0f} s and is replaced")
            for holding in list(window.held.values()):
                if holding.begun_ns is not None and (now - holding.begun_ns) / 1e9 > longest:
                    late = f"the request ran longer than {longest:g} s; ask for fewer steps or pictures"
                    self._tell_worker(worker, Cancel(lease=holding.lease))
                    await self._settle(worker, Failed(lease=holding.lease, code=GenerationTimeout.code, message=late))

    async def _cancel_asked(self) -> None:
        """Tell workers of what was cancelled by way of another server."""
        looked = frozenset(self._elsewhere)
        held = [one.lease.request_id for window in self.windows.values() for one in window.held.values()]
        for lease in await self._requests.asked_to_end([one for one in held if one in looked]):
            await self.cancel(lease)
        self._elsewhere -= looked

    async def _believe(self) -> None:
        """Where the clock was set, or the store was away, leases ran out that nobody could renew: they go on."""
        skew = self._skew()
        if abs(skew - self._skew_us) > SET_SECONDS * 1e6:
            log.warning("the machine's clock was set", seconds=round((skew - self._skew_us) / 1e6))
            self._doubtful = True
        self._skew_us = skew
        if self._doubtful:
            for worker, window in self.windows.items():
                await self._renew(worker, [holding.lease for holding in window.held.values()])
            self._doubtful = False

    def _skew(self) -> int:
        return self._clock.now_us() - self._clock.monotonic_ns() // 1000

    def _take_back(self, request_id: str) -> None:
        """Its lease is over: whoever holds it works in vain."""
        self._estimates.lost(request_id)
        for worker, window in self.windows.items():
            for lease in [held.lease for held in window.held.values() if held.lease.request_id == request_id]:
                window.held.pop(lease.token)
                self._tell_worker(worker, Cancel(lease=lease, waits_again=True))

    def _refusal(self, model: ModelRef) -> LaternaError | None:
        return None if self._fleet is None else self._fleet.refusal(model)

    def _tell(self, lease: Lease, message: Cancel | Watch) -> None:
        for worker, window in self.windows.items():
            if lease.token in window.held:
                self._tell_worker(worker, message)

    def _tell_worker(self, worker: str, message: Assign | Cancel | Watch) -> None:
        if self._fleet is not None:
            self._fleet.workers[worker].send(message)
