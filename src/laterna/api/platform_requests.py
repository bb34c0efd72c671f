"""fal's platform API, the part about one request of the caller's: what became of it, and the end of its payload.

The detail is ours: fal has none. Neighbours: `platform`, which needs no key and whose shape of errors this shares.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from obstore.exceptions import BaseError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.callers import caller_of
from laterna.api.hosts import origin_of
from laterna.api.services import Services
from laterna.contracts.messages import Span
from laterna.errors import LaternaError
from laterna.requests.requests import Attempt, Part, RequestView, Try, UsageLine, Webhook
from laterna.tenants.caller import ADMIN, READ

ONE = "/platform/v1/models/requests/{request_id}"


class PlatformRequests:
    """`/platform/v1/models/requests/...`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(ONE, self.detail, methods=["GET"]),
            Route(f"{ONE}/payloads", self.delete_payloads, methods=["DELETE"]),
            Route(f"{ONE}/redeliver", self.redeliver, methods=["POST"]),
        ]

    async def detail(self, request: Request) -> Response:
        """How it went: where its time went, its attempts, what was done in each, what it used and what it cost."""
        requests = self._services.requests
        caller = await caller_of(request, self._services, scope=READ)
        view = await requests.get(caller.tenant, request.path_params["request_id"])
        made = await requests.attempts(caller.tenant, view.request_id)
        used = await requests.usage(caller.tenant, view.request_id)
        told = await requests.webhook(caller.tenant, view.request_id)
        return JSONResponse(
            {
                **head(view),
                "timeline": [_part(part, view.created_us) for part in requests.timeline(view, made)],
                "attempts": [_attempt(one) for one in made],
                "usage": [_line(line) for line in used],
                "webhook": None if told is None else _webhook(told),
            }
        )

    async def redeliver(self, request: Request) -> Response:
        """Tell the request's webhook again, taken before or not."""
        caller = await caller_of(request, self._services)
        await self._services.requests.redeliver(caller.tenant, request.path_params["request_id"])
        return JSONResponse({"status": "REDELIVERY_REQUESTED"}, 202)

    async def delete_payloads(self, request: Request) -> Response:
        """Delete input, outputs and logs of a request that is over; says of each file whether its bytes are gone."""
        requests, request_id = self._services.requests, request.path_params["request_id"]
        caller = await caller_of(request, self._services, scope=ADMIN)
        view = await requests.get(caller.tenant, request_id)
        keys = await requests.delete_payloads(caller.tenant, request_id)
        told = {key: await self._dropped(key) for key in keys}
        await requests.purged([key for key, trouble in told.items() if trouble is None])
        files, names = f"{origin_of(request).cdn}/files", {made.key: f"/{made.file_name}" for made in view.outputs}
        results = [
            {"link": f"{files}/{key}{names.get(key, '')}", "exception": trouble} for key, trouble in told.items()
        ]
        return JSONResponse({"cdn_delete_results": results})

    async def _dropped(self, key: str) -> str | None:
        """Why its bytes are not gone yet: the janitor tries again."""
        try:
            await self._services.media.delete(key)
        except (LaternaError, OSError, BaseError) as error:
            return str(error)
        return None


def head(view: RequestView) -> dict[str, Any]:
    """What there is to say of it in a list."""
    trouble = view.trouble
    return {
        "request_id": view.request_id,
        "endpoint_id": view.endpoint,
        "state": view.state,
        "outcome": view.outcome,
        "error": None if trouble is None else {"type": trouble.code, "message": trouble.message},
        "sent_at": _time(view.created_us),
        "started_at": _time(view.started_us),
        "ended_at": _time(view.settled_us),
        "duration": view.inference_s,
        "price": {"amount": view.price_nano / 1e9, "currency": view.currency},
        "cost": None if view.cost_nano is None else {"amount": view.cost_nano / 1e9, "currency": view.currency},
        "tags": dict(view.tags),
    }


def _part(part: Part, created_us: int) -> dict[str, Any]:
    return {
        "stage": part.stage,
        "attempt": part.attempt,
        "start_seconds": (part.start_us - created_us) / 1e6,
        "seconds": (part.end_us - part.start_us) / 1e6,
    }


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "number": one.number,
        "worker": one.worker,
        "outcome": one.outcome,
        "error_type": one.error_code,
        "leased_at": _time(one.leased_us),
        "started_at": _time(one.started_us),
        "ended_at": _time(one.ended_us),
        "device_seconds": None if one.device_ns is None else one.device_ns / 1e9,
        "timeline": [_span(span) for span in one.timeline],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "stage": span.stage,
        "start_seconds": span.start_ns / 1e9,
        "seconds": span.device_ns / 1e9,
        "calls": span.calls,
        "batch": {"smallest": span.smallest, "largest": span.largest},
    }


def _line(line: UsageLine) -> dict[str, Any]:
    return {
        "attempt": line.attempt,
        "outcome": line.outcome,
        "stage": line.stage,
        "calls": line.calls,
        "device_seconds": line.device_ns / 1e9,
        "amount": line.amount_nano / 1e9,
        "currency": line.currency,
    }


def _webhook(told: Webhook) -> dict[str, Any]:
    return {
        "url": told.url,
        "delivered_at": _time(told.delivered_us),
        "next_at": _time(told.next_us),
        "tries": [_try(one) for one in told.tries],
    }


def _try(one: Try) -> dict[str, Any]:
    return {
        "time": _time(one.began_us),
        "status": one.answer.status,
        "error": one.answer.error,
        "milliseconds": round(one.took_us / 1000, 3),
    }


def _time(moment_us: int | None) -> str | None:
    return None if moment_us is None else datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat()
