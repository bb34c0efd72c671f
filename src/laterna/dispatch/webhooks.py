"""Webhook deliveries from the outbox: signed, each tried until it is taken or its tries are used up, each try written
down; never to a private address.

Deliveries know nothing of each other: one that is slow holds up nobody, and a host that is slow has at most `PER_HOST`
of them, so that the others' go on. What is on its way stays in the outbox, so that a server that dies delivers it again
after its restart; while a server lives nothing is on its way twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
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

IDLE_SECONDS = 1.0
AT_ONCE = 64  # deliveries on their way
PER_HOST = 4  # of them to one host
FIRST_SECONDS = 15.0  # that a receiver has for its answer, at the first try
LATER_SECONDS = 120.0  # and at every further one


class Webhooks:
    """The deliveries of one server."""

    def __init__(
        self, requests: Requests, fetcher: Fetcher, keys: SigningKeys, shared: SharedSecrets, clock: Clock
    ) -> None:
        self._requests = requests
        self._fetcher = fetcher
        self._keys = keys
        self._shared = shared
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[None]] = {}  # by the delivery's id
        self._hosts: Counter[str] = Counter()  # deliveries on their way to each
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
            going = list(self._under_way.values())
            for task in going:
                task.cancel()
            await asyncio.gather(*going, return_exceptions=True)

    async def _begin_due(self) -> None:
        """Begin all that is due and has room."""
        try:
            while (room := AT_ONCE - len(self._under_way)) > 0:
                busy = [host for host, count in self._hosts.items() if count >= PER_HOST]
                due = await self._requests.due_webhooks(room, list(self._under_way), busy)
                for delivery in due:
                    self._begin(delivery)
                if not due:
                    return
        except LaternaError as error:
            log.error("webhooks could not reach the store", error=error.message)

    def _begin(self, delivery: Delivery) -> None:
        """Nothing where its host has become busy."""
        if self._hosts[delivery.host] >= PER_HOST:
            return
        self._hosts[delivery.host] += 1
        task = asyncio.create_task(self._deliver(delivery))
        self._under_way[delivery.id] = task
        task.add_done_callback(lambda _: self._ended(delivery))

    def _ended(self, delivery: Delivery) -> None:
        del self._under_way[delivery.id]
        self._hosts[delivery.host] -= 1
        if not self._hosts[delivery.host]:
            del self._hosts[delivery.host]
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
        patience = LATER_SECONDS if delivery.tries else FIRST_SECONDS
        return await self._fetcher.post(delivery.url, body, headers, timeout_s=patience)

    def _signature(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """Headers by which its receiver knows who sent it, as the client's own platform sends them."""
        if delivery.dialect == "replicate":
            return self._shared.headers(delivery.id, delivery.tenant, body)
        return self._keys.headers(delivery.request_id, delivery.tenant, body)
