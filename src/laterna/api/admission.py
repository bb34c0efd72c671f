"""From an HTTP request to a durable one: endpoint, caller, input, and how it is to be treated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import structlog
from starlette.requests import HTTPConnection, Request

from laterna import metrics, tracing
from laterna.api.asked import Asked, query_input, read_asked
from laterna.api.bodies import read_json
from laterna.api.callers import caller_of
from laterna.api.costs import estimate_headers
from laterna.api.hosts import origin_of
from laterna.api.own_files import with_own_files
from laterna.api.services import Services
from laterna.requests.requests import Receipt, Submission
from laterna.requests.submission import REALTIME
from laterna.tenants.caller import Caller

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request that was accepted."""

    receipt: Receipt
    caller: Caller
    endpoint: str  # id

    @property
    def headers(self) -> dict[str, str]:
        return {"x-fal-request-id": self.receipt.request_id, **estimate_headers(self.receipt)}


async def admit(
    request: Request, services: Services, endpoint_id: str, *, previews: bool = False, direct: bool = False
) -> Admitted:
    """Put what this HTTP request of fal's asks for into the queue.

    Raises EndpointNotFound, Unauthorized, Forbidden, PayloadTooLarge, BadRequest and all that `submit` raises; nothing
    is queued then.
    """
    card, endpoint = services.catalog.endpoint(endpoint_id)
    caller = await caller_of(request, services, endpoint.id(card))
    raw = query_input(request) if request.method == "GET" else await read_posted(request, services)
    return await submit(request, services, caller, endpoint_id, raw, dialect="fal", previews=previews, direct=direct)


async def read_posted(request: Request, services: Services) -> object:
    """The JSON value of the body. Raises PayloadTooLarge above the setting, BadRequest for what is no JSON."""
    return await read_json(request, round(services.settings.body_mb * 1_000_000))


async def submit(
    request: HTTPConnection,
    services: Services,
    caller: Caller,
    endpoint_id: str,
    raw: object,
    *,
    dialect: str,
    previews: bool = False,
    asked: Asked | None = None,
    direct: bool = False,
) -> Admitted:
    """Put an input into the queue for a caller.

    Args:
        raw: JSON, in the endpoint's own words.
        dialect: whose shape its sender wants answers in.
        asked: how it is to be treated; absent: as the HTTP request's headers and query say.
        direct: its sender stays on the line for the answer: where its tenant may run no more it is refused.

    Raises EndpointNotFound, Forbidden, InvalidInput, NoRunner, ModelTooLarge, and what `Requests.submit` does; nothing
    is queued then.
    """
    about = {"endpoint": endpoint_id, "dialect": dialect}
    with tracing.serving("submit", request.headers.get(tracing.HEADER), about) as span:
        card, endpoint = services.catalog.endpoint(endpoint_id)
        caller.need_model(endpoint.id(card))
        asked = asked or read_asked(request)
        if asked.priority == REALTIME:
            caller.need_realtime()
        job = endpoint.contract.normalise(endpoint.contract.parse(raw))
        job = await with_own_files(services, caller, job)
        if (refused := services.refusal(card.ref())) is not None:
            raise refused
        now = services.clock.now_us()
        start_by = None if asked.start_within_s is None else now + round(asked.start_within_s * 1e6)
        finish_by = None if asked.finish_within_s is None else now + round(asked.finish_within_s * 1e6)
        cancel_by = None if asked.cancel_within_s is None else now + round(asked.cancel_within_s * 1e6)
        receipt = await services.requests.submit(
            Submission(
                tenant=caller.tenant,
                key_id=caller.key_id,
                dialect=dialect,
                endpoint=endpoint.id(card),
                card_id=card.id,
                model_revision=card.revision,
                raw_input=raw,
                generation=msgspec.structs.replace(job, previews=previews),
                price=card.price,
                priority=asked.priority,
                direct=direct,
                max_attempts=1 if asked.once else None,
                retries=asked.retries,
                start_by_us=start_by,
                finish_by_us=finish_by,
                cancel_by_us=cancel_by,
                max_queue_length=asked.max_queue_length,
                idempotency_key=asked.idempotency_key,
                tags=asked.tags,
                store_io=asked.store_io,
                keep_seconds=asked.lifecycle.keep_seconds,
                access=asked.lifecycle.access,
                runner_hint=asked.runner_hint,
                webhook_url=asked.webhook_url,
                webhook_events=asked.webhook_events,
                base_url=origin_of(request).cdn,
                traceparent=span.traceparent,
            )
        )
        structlog.contextvars.bind_contextvars(request_id=receipt.request_id)
        log.debug("request submitted", endpoint=endpoint.id(card), repeated=receipt.repeated)
        span.tell({"request_id": receipt.request_id})
        if not receipt.repeated:
            metrics.SUBMITTED.labels(card.id, dialect, metrics.CLASSES[asked.priority]).inc()
        services.wake()
        return Admitted(receipt=receipt, caller=caller, endpoint=endpoint.id(card))


async def withdraw(services: Services, tenant: str, request_id: str) -> None:
    """End a request and tell whoever works on it or waits for it. Raises RequestNotFound, AlreadyCompleted."""
    result = await services.requests.cancel(tenant, request_id)
    if result.lease is not None and not result.settled:
        await services.canceller(result.lease)
    services.board.changed(request_id)
