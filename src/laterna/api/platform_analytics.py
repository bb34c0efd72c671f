"""fal's platform API, the part about how models serve: counts of how requests ended, and percentiles of what they took.

Durations are from the first device call to the last, of requests that went well; preparing is waiting in the queue,
loading and fetching: from the submit to the first device call. Cold boots are not counted: a server has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.errors import STATUS
from laterna.api.platform import listed
from laterna.api.platform_answers import admin_of, period_asked, spans_asked, tenants_asked, wrong
from laterna.api.services import Services
from laterna.errors import GenerationTimeout, PoisonRequest, StartTimeout
from laterna.requests.analytics import PERCENTILES, Measured

COUNTS = (
    "request_count",
    "success_count",
    "user_error_count",
    "error_count",
    "startup_error_count",
    "connection_error_count",
    "timeout_error_count",
    "runtime_error_count",
)
KINDS = {  # code -> the count that it is in beside error_count; all others are the runtime's
    StartTimeout.code: "startup_error_count",
    PoisonRequest.code: "connection_error_count",
    GenerationTimeout.code: "timeout_error_count",
}
DURATIONS = tuple(f"p{percent}_duration" for percent in PERCENTILES)
WAITS = tuple(f"p{percent}_prepare_duration" for percent in PERCENTILES)
METRICS = (*COUNTS, *DURATIONS, *WAITS, "total_billable_duration")
FORMS = ("time_series", "summary")


class Analytics:
    """`/platform/v1/models/analytics`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/platform/v1/models/analytics", self.analytics, methods=["GET"])]

    async def analytics(self, request: Request) -> Response:
        """As a time series, in sum, or both; all numbers, or those that `expand` names. Seconds."""
        caller = await admin_of(request, self._services)
        tenants = await tenants_asked(request, self._services, caller)
        period = period_asked(request, self._services.clock.now_us())
        spans, expand = spans_asked(period), listed(request, "expand")
        unknown = [name for name in expand if name not in (*FORMS, *METRICS)]
        if unknown:
            raise wrong("expand", f"expected some of {', '.join((*FORMS, *METRICS))}", unknown[0])
        wanted = [name for name in METRICS if name in expand] or list(METRICS)
        endpoints, measured = tuple(listed(request, "endpoint_id")), self._services.requests.measured
        body: dict[str, Any] = {"next_cursor": None, "has_more": False}
        if "summary" in expand:
            found = await measured(tenants, endpoints, [(spans[0].since_us, spans[-1].until_us)])
            body["summary"] = [_result(one, wanted) for one in found[0]]
        if "time_series" in expand or "summary" not in expand:
            parts = await measured(tenants, endpoints, [(span.since_us, span.until_us) for span in spans])
            body["time_series"] = [
                {"bucket": span.start.isoformat(), "results": [_result(one, wanted) for one in part]}
                for span, part in zip(spans, parts, strict=True)
                if part
            ]
        return JSONResponse(body)


def _result(one: Measured, wanted: list[str]) -> dict[str, Any]:
    numbers = {
        **_counted(one.ended),
        **dict(zip(DURATIONS, _seconds(one.durations_us), strict=True)),
        **dict(zip(WAITS, _seconds(one.waits_us), strict=True)),
        "total_billable_duration": one.inference_us / 1e6,
    }
    return {"endpoint_id": one.endpoint, **{name: numbers[name] for name in wanted}}


def _counted(ended: Mapping[str | None, int]) -> dict[str, int]:
    counts = dict.fromkeys(COUNTS, 0)
    for code, many in ended.items():
        counts["request_count"] += many
        if code is None:
            counts["success_count"] += many
        elif STATUS.get(code, 500) < 500:
            counts["user_error_count"] += many
        else:
            counts["error_count"] += many
            counts[KINDS.get(code, "runtime_error_count")] += many
    return counts


def _seconds(found: Mapping[int, int]) -> list[float | None]:
    return [found[percent] / 1e6 if percent in found else None for percent in PERCENTILES]
