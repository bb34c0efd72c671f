"""From an HTTP request to a durable one: endpoint, caller, input, and how it is to be treated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from starlette.requests import Request

from laterna.api.asked import query_input, read_asked
from laterna.api.bodies import read_json
from laterna.api.callers import caller_of
from laterna.api.hosts import origin_of
from laterna.api.services import Services
from laterna.requests.requests import Receipt, Submission
from laterna.tenants.caller import Caller


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request that was accepted."""

    receipt: Receipt
    caller: Caller
    endpoint: str  # id

    @property
    def headers(self) -> dict[str, str]:
        return {"x-fal-request-id": self.receipt.request_id}


async def admit(request: Request, services: Services, endpoint_id: str, *, previews: bool = False) -> Admitted:
    """Put what this HTTP request asks for into the queue.

    Raises EndpointNotFound, Unauthorized, Forbidden, InvalidInput, PayloadTooLarge, BadRequest, QueueFull,
    DeadlineUnreachable, Conflict or Unavailable; nothing is queued then.
    """
    card, endpoint = services.catalog.endpoint(endpoint_id)
    caller = await caller_of(request, services, endpoint.id(card))
    asked = read_asked(request)
    limit = round(services.settings.body_mb * 1_000_000)
    raw = query_input(request) if request.method == "GET" else await read_json(request, limit)
    job = endpoint.contract.normalise(endpoint.contract.parse(raw))
    now = services.clock.now_us()
    start_by = None if asked.start_within_s is None else now + round(asked.start_within_s * 1e6)
    receipt = await services.requests.submit(
        Submission(
            tenant=caller.tenant,
            key_id=caller.key_id,
            dialect="fal",
            endpoint=endpoint.id(card),
            card_id=card.id,
            model_revision=card.revision,
            raw_input=raw,
            generation=msgspec.structs.replace(job, previews=previews),
            price=card.price,
            priority=asked.priority,
            max_attempts=None if asked.retries else 1,
            start_by_us=start_by,
            max_queue_length=asked.max_queue_length,
            idempotency_key=asked.idempotency_key,
            tags=asked.tags,
            store_io=asked.store_io,
            keep_seconds=asked.keep_seconds,
            webhook_url=asked.webhook_url,
            base_url=origin_of(request).cdn,
        )
    )
    services.wake()
    return Admitted(receipt=receipt, caller=caller, endpoint=endpoint.id(card))


async def withdraw(services: Services, tenant: str, request_id: str) -> None:
    """End a request and tell whoever works on it or waits for it. Raises RequestNotFound, AlreadyCompleted."""
    result = await services.requests.cancel(tenant, request_id)
    if result.lease is not None and not result.settled:
        await services.canceller(result.lease)
    services.board.changed(request_id)
