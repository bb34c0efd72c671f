"""All of a tenant's requests, in any state, newest first, filtered: ours beside fal's platform API, which lists what
has ended alone (`platform_history`).
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.callers import caller_of
from laterna.api.platform import listed, page_size
from laterna.api.platform_answers import period_asked, wrong
from laterna.api.platform_requests import head
from laterna.api.services import Services
from laterna.billing.periods import microseconds
from laterna.requests.requests import Filter
from laterna.store.states import OUTCOMES, STATES
from laterna.tenants.caller import READ

MOST_TAGS = 10


class PlatformListing:
    """`/platform/v1/models/requests`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/platform/v1/models/requests", self.page, methods=["GET"])]

    async def page(self, request: Request) -> Response:
        """Those submitted within `start` and `end`, where one is given, that all the other filters take."""
        caller = await caller_of(request, self._services, scope=READ)
        which, cursor = _filter(request, self._services.clock.now_us()), request.query_params.get("cursor") or None
        found = await self._services.requests.page(caller.tenant, cursor, page_size(request), which)
        items = [head(view) for view in found.items]
        return JSONResponse({"items": items, "next_cursor": found.cursor, "has_more": found.cursor is not None})


def _filter(request: Request, now_us: int) -> Filter:
    query, bounds = request.query_params, dict[str, Any]()
    if query.get("start") or query.get("end"):
        period = period_asked(request, now_us)
        bounds["until_us"] = microseconds(period.until)
        if query.get("start"):
            bounds["since_us"] = microseconds(period.since)
    return Filter(
        states=_some(request, "state", STATES),
        outcomes=_some(request, "outcome", OUTCOMES),
        endpoints=tuple(listed(request, "endpoint_id")) or None,
        tags=_tags(request),
        **bounds,
    )


def _some(request: Request, name: str, known: tuple[str, ...]) -> tuple[str, ...] | None:
    given = tuple(listed(request, name))
    unknown = [text for text in given if text not in known]
    if unknown:
        raise wrong(name, f"expected some of {', '.join(known)}", unknown[0])
    return given or None


def _tags(request: Request) -> tuple[tuple[str, str], ...]:
    pairs = [text.partition("=") for text in listed(request, "tag")]
    if len(pairs) > MOST_TAGS or any(not name or not equals for name, equals, _ in pairs):
        raise wrong("tag", f"expected at most {MOST_TAGS} of name=value", str(request.query_params.get("tag")))
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)
