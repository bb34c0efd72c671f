"""Webhook deliveries from the outbox: signed, each tried until it is taken or its tries are used up, each try written
down; never to a private address.

Deliveries know nothing of each other: one that is slow holds up nobody, and a host that is slow has at most `PER_HOST`
of them, so that the others' go on. What is on its way stays in the outbox, so that a server that dies delivers it again
after its restart; while a server lives nothing is on its way twice. What is told before a request's end goes in a lane
of its own: however much of it there is, ends have their room.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from laterna import metrics
from laterna.clock import Clock
from laterna.dispatch.shared_secrets import SharedSecrets
from laterna.dispatch.signing import SigningKeys
from laterna.errors import AddressRefused, LaternaError
from laterna.media.fetch import Fetcher
from laterna.requests.requests import Answer, Delivery, Requests, Try

log = structlog.get_logger(__name__)

IDLE_SECONDS = 0.5
AT_ONCE = 64  # deliveries of a lane on their way
PER_HOST = 4  # of them to one host
EARLY_SECONDS = 5.0  # that a receiver has for its answer to what comes before an end
FIRST_SECONDS = 15.0  # and to an end, at the first try
LATER_SECONDS = 120.0  # and at every further one
LOG_SECONDS = 0.5  # from one telling of a request's log to the next, at least


class Lane:
    """What is on its way of one kind."""

    def __init__(self, due: Callable[[int, list[str], list[str]], Awaitable[list[Delivery]]]) -> None:
        """`due`: so many that are to be delivered, but for those ids and hosts."""
        self.due = due
        self.under_way: dict[str, asyncio.Task[None]] = {}  # by the delivery's id
        self.hosts: Counter[str] = Counter()  # deliveries on their way to each

    @property
    def room(self) -> int:
        return AT_ONCE - len(self.under_way)

    def begin(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self.under_way[delivery.id] = task
        self.hosts[delivery.host] += 1

    def end(self, delivery: Delivery) -> None:
        del self.under_way[delivery.id]
        self.hosts[delivery.host] -= 1
        if not self.hosts[delivery.host]:
            del self.hosts[delivery.host]


class Webhooks:
    """The deliveries of one server."""

    def __init__(
        self,
        requests: Requests,
        fetcher: Fetcher,
        keys: SigningKeys,
        shared: SharedSecrets,
        clock: Clock,
        logged: set[str],
    ) -> None:
        """`logged`: requests whose webhooks are to be told of what was logged; it is emptied."""
        self._requests = requests
        self._fetcher = fetcher
        self._keys = keys
        self._shared = shared
        self._clock = clock
        self._logged = logged
        self._logs_told_ns: dict[str, int] = {}  # request -> monotonic time at which its log was told, the latest alone
        self._lanes = (Lane(requests.due_tidings), Lane(requests.due_webhooks))  # what comes first begins first
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Deliver what is due until cancelled; what is on its way then is delivered again after the next start."""
        try:
            while True:
                self._room.clear()
                await self._begin_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._room.wait()
        finally:
            going = [task for lane in self._lanes for task in lane.under_way.values()]
            for task in going:
                task.cancel()
            await asyncio.gather(*going, return_exceptions=True)

    async def _begin_due(self) -> None:
        """Begin all that is due and has room."""
        try:
            if self._logged:
                news = list(self._logged)
                self._logged.clear()
                await self._requests.logged(news)
            for lane in self._lanes:
                await self._fill(lane)
        except LaternaError as error:
            log.error("webhooks could not reach the store", error=error.message)

    async def _fill(self, lane: Lane) -> None:
        self._forget_logs()
        resting = list[str]()
        while lane.room > 0:
            busy = [host for host, count in lane.hosts.items() if count >= PER_HOST]
            due = await lane.due(lane.room, [*lane.under_way, *resting], busy)
            for delivery in due:
                if delivery.log and delivery.request_id in self._logs_told_ns:
                    resting.append(delivery.id)
                elif lane.hosts[delivery.host] < PER_HOST:
                    self._begin(lane, delivery)
            if not due:
                return

    def _forget_logs(self) -> None:
        """Of those that may be told again."""
        since_ns = self._clock.monotonic_ns() - round(LOG_SECONDS * 1e9)
        self._logs_told_ns = {request: told for request, told in self._logs_told_ns.items() if told > since_ns}

    def _begin(self, lane: Lane, delivery: Delivery) -> None:
        if delivery.log:
            self._logs_told_ns[delivery.request_id] = self._clock.monotonic_ns()
        task = asyncio.create_task(self._deliver(delivery))
        lane.begin(delivery, task)
        task.add_done_callback(lambda _: self._ended(lane, delivery))

    def _ended(self, lane: Lane, delivery: Delivery) -> None:
        lane.end(delivery)
        self._room.set()

    async def _deliver(self, delivery: Delivery) -> None:
        """Try once, and write down how it went however long the store cannot be reached: no try goes uncounted."""
        structlog.contextvars.bind_contextvars(request_id=delivery.request_id, tenant=delivery.tenant)
        began_us, began_ns = self._clock.now_us(), self._clock.monotonic_ns()
        answer = await self._try(delivery)
        took_us = (self._clock.monotonic_ns() - began_ns) // 1000
        metrics.WEBHOOKS.labels("taken" if answer.error is None else "failed").inc()
        went = Try(answer=answer, began_us=began_us, took_us=took_us)
        while True:
            try:
                await self._requests.webhook_tried(delivery, went)
                return
            except LaternaError as trouble:
                log.error("how a webhook went could not be kept; trying again", error=trouble.message)
                await asyncio.sleep(IDLE_SECONDS)

    async def _try(self, delivery: Delivery) -> Answer:
        try:
            status = await self._post(delivery)
        except LaternaError as error:
            return Answer(error=error.message, hopeless=isinstance(error, AddressRefused))
        except Exception as error:  # whatever it is, it is this delivery's own, and others go on
            log.error("a webhook could not be delivered", exc_info=error)
            return Answer(error=f"{type(error).__name__}: {error}")
        if 200 <= status < 300:
            return Answer(status=status)
        return Answer(status=status, error=f"answered {status}", hopeless=300 <= status < 400)

    async def _post(self, delivery: Delivery) -> int:
        """The receiver's status."""
        body = await self._requests.webhook_body(delivery)
        headers = {"content-type": "application/json", **self._signature(delivery, body)}
        first = FIRST_SECONDS if delivery.end else EARLY_SECONDS
        patience = LATER_SECONDS if delivery.tries else first
        return await self._fetcher.post(delivery.url, body, headers, timeout_s=patience)

    def _signature(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """Headers by which its receiver knows who sent it, as the client's own platform sends them."""
        if delivery.dialect == "replicate":
            return self._shared.headers(delivery.id, delivery.tenant, body)
        return self._keys.headers(delivery.request_id, delivery.tenant, body)
