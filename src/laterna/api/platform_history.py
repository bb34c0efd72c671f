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
from laterna.api.platform import MOST_IDS, listed, page_size
from laterna.api.platform_answers import period_asked, wrong
from laterna.api.services import Services
from laterna.billing.periods import microseconds
from laterna.errors import FileNotFound
from laterna.requests.requests import Past, Which
from laterna.tenants.caller import READ

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
        caller = await caller_of(request, self._services, scope=READ)
        query = request.query_params
        which, cursor = _which(request, self._services.clock.now_us()), query.get("cursor") or None
        found = await self._services.requests.history(caller.tenant, which, cursor, page_size(request))
        payloads = "payloads" in listed(request, "expand")
        items = [
            _item(past) | (await self._payloads(request, caller.tenant, past) if payloads else {})
            for past in found.items
        ]
        return JSONResponse({"items": items, "next_cursor": found.cursor, "has_more": found.cursor is not None})

    async def _payloads(self, request: Request, tenant: str, past: Past) -> dict[str, Any]:
        """What was sent and answered, as far as it is still kept."""
        view = await self._services.requests.get(tenant, past.request_id)
        if not view.store_io:
            return {"json_input": None, "json_output": None}
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
    period, endpoints = period_asked(request, now_us), listed(request, "endpoint_id")
    if len(endpoints) > MOST_IDS:
        raise wrong("endpoint_id", f"at most {MOST_IDS} ids", str(len(endpoints)))
    return Which(
        since_us=microseconds(period.since),
        until_us=microseconds(period.until),
        endpoints=tuple(endpoints),
        request_id=request.query_params.get("request_id") or None,
        longest_first=_one_of(request, "sort_by", ORDERS) == "duration",
        **STATUSES[_one_of(request, "status", tuple(STATUSES))],
    )


def _one_of(request: Request, name: str, known: tuple[str, ...]) -> str:
    """The first where none is named."""
    text = request.query_params.get(name) or known[0]
    if text not in known:
        raise wrong(name, f"expected {' or '.join(filter(None, known))}", text)
    return text


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
