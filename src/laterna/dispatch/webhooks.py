"""Webhook deliveries from the outbox: each tried until it is taken or its tries are used up; never to a private
address.
"""

from __future__ import annotations

import asyncio

import structlog

from laterna.errors import FetchError, LaternaError
from laterna.media.fetch import Fetcher
from laterna.requests.requests import Delivery, Requests

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1.0
AT_ONCE = 16


class Webhooks:
    """The delivery loop."""

    def __init__(self, requests: Requests, fetcher: Fetcher) -> None:
        self._requests = requests
        self._fetcher = fetcher

    async def run(self) -> None:
        """Deliver what is due until cancelled."""
        while True:
            try:
                due = await self._requests.due_webhooks(AT_ONCE)
                await asyncio.gather(*(self._deliver(delivery) for delivery in due))
            except LaternaError as error:
                log.error("webhooks could not reach the store", error=error.message)
                due = []
            if not due:
                await asyncio.sleep(IDLE_SECONDS)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            status = await self._fetcher.post(
                delivery.url,
                delivery.body,
                {"content-type": "application/json", "x-fal-webhook-request-id": delivery.request_id},
            )
        except FetchError as error:
            await self._requests.webhook_failed(delivery, error.message, permanent=error.code == "address_refused")
            return
        if 200 <= status < 300:
            await self._requests.webhook_delivered(delivery)
        else:
            await self._requests.webhook_failed(delivery, f"answered {status}", permanent=300 <= status < 400)
