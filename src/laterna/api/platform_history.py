"""fal's platform API, a tenant's requests that have ended, by endpoint: when, how, how long, and what was in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.callers import caller_of
from laterna.api.errors import STATUS
from laterna.api.fal_views import result_body, trouble_body
from laterna.api.hosts import origin_of
from laterna.api.platform_queries import instant, limit_of, listed, one_of
from laterna.api.services import Services
from laterna.errors import FileNotFound
from laterna.requests.requests import Past, Which

DAY_US = 86_400_000_000
USERS = frozenset(code for code, status in STATUS.items() if status < 500)  # errors that are their senders'
STATUSES: dict[str, dict[str, Any]] = {  # what is asked for -> which those are
    "": {},
    "success": {"well": True},
    "user_error": {"codes": USERS},
    "error": {"well": False, "other_codes": USERS},
}
ORDERS = ("ended_at", "duration")


class PlatformHistory:
    """`/platform/v1/models/requests/by-endpoint`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/platform/v1/models/requests/by-endpoint", self.page, methods=["GET"])]

    async def page(self, request: Request) -> Response:
        """Those sent within `start` and `end`, by default the last day."""
        caller = await caller_of(request, self._services)
        query = request.query_params
        which, now = _which(request, self._services.clock.now_us()), query.get("cursor") or None
        found = await self._services.requests.history(caller.tenant, which, now, limit_of(request, 50, 100))
        payloads = "payloads" in listed(request, "expand")
        items = [
            _item(past) | (await self._payloads(request, caller.tenant, past) if payloads else {})
            for past in found.items
        ]
        return JSONResponse({"items": items, "next_cursor": found.cursor, "has_more": found.cursor is not None})

    async def _payloads(self, request: Request, tenant: str, past: Past) -> dict[str, Any]:
        """What was sent and answered, as far as it is still kept."""
        view = await self._services.requests.get(tenant, past.request_id)
        given = await self._services.requests.raw_input(tenant, past.request_id)
        try:
            made = (
                result_body(view, self._services.catalog, origin_of(request).cdn)
                if view.trouble is None
                else trouble_body(view.trouble)
            )
        except FileNotFound:
            made = None
        return {"json_input": given, "json_output": made}


def _which(request: Request, now_us: int) -> Which:
    until = instant(request, "end", now_us + 1)
    return Which(
        since_us=instant(request, "start", until - DAY_US),
        until_us=until,
        endpoints=tuple(listed(request, "endpoint_id")),
        request_id=request.query_params.get("request_id") or None,
        longest_first=one_of(request, "sort_by", ORDERS) == "duration",
        **STATUSES[one_of(request, "status", tuple(STATUSES))],
    )


def _item(past: Past) -> dict[str, Any]:
    return {
        "request_id": past.request_id,
        "endpoint_id": past.endpoint,
        "sent_at": _time(past.sent_us),
        "started_at": _time(past.started_us),
        "ended_at": _time(past.ended_us),
        "status_code": 200 if past.code is None else STATUS.get(past.code, 500),
        "duration": past.duration_us / 1e6,
    }


def _time(moment_us: int | None) -> str | None:
    return None if moment_us is None else datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat()
