"""fal's platform API, the part about what was used and charged: by time, model, key and tenant, and charge by charge.

Beside fal's shapes: `/account/usage`, flat rows by the dimensions that are asked for, and the charges as CloudEvents.
Admin keys see their tenant's; the operator's see any tenant's (`tenant_id`, `all` for every one).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.platform import listed, page_size
from laterna.api.platform_answers import (
    admin_of,
    period_asked,
    spans_asked,
    tenants_asked,
    wrong,
)
from laterna.api.services import Services
from laterna.billing.cloudevents import event
from laterna.billing.periods import Span, microseconds
from laterna.billing.reports import Charge, Used, Which, together

BASE = "/platform/v1"
EXPANDED = ("time_series", "summary", "auth_method")
DIMENSIONS = {"time": (), "model": ("endpoint",), "key": ("key_id", "key_name"), "tenant": ("tenant",)}
CURSOR = "X-Laterna-Next-Cursor"  # of an export, whose body has no place for it


class Usage:
    """`/platform/v1/models/usage`, `.../billing-events`, `/platform/v1/account/usage`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(f"{BASE}/models/usage", self.usage, methods=["GET"]),
            Route(f"{BASE}/models/billing-events", self.charges, methods=["GET"]),
            Route(f"{BASE}/account/usage", self.report, methods=["GET"]),
        ]

    async def usage(self, request: Request) -> Response:
        """What was charged, as a time series, in sum, or both; by key too where `auth_method` is asked for."""
        which, spans = await self._asked(request)
        expand = listed(request, "expand") or ["time_series"]
        unknown = [name for name in expand if name not in EXPANDED]
        if unknown:
            raise wrong("expand", f"expected some of {', '.join(EXPANDED)}", unknown[0])
        ignore = ("tenant",) if "auth_method" in expand else ("tenant", "key_id", "key_name")
        found = [(span, together(lines, ignore)) for span, lines in await self._services.books.used(which, spans)]
        body: dict[str, Any] = {"next_cursor": None, "has_more": False}
        if "time_series" in expand:
            shown = [(span, _charged(lines)) for span, lines in found]
            body["time_series"] = [
                {"bucket": span.start.isoformat(), "results": [_result(line) for line in lines]}
                for span, lines in shown
                if lines
            ]
        if "summary" in expand:
            everything = together([line for _, lines in found for line in lines], ())
            body["summary"] = [_result(line) for line in _charged(everything)]
        return JSONResponse(body)

    async def report(self, request: Request) -> Response:
        """Flat rows by `by`, some of time, model, key, tenant; prices and currencies are never added up together."""
        which, spans = await self._asked(request)
        by = listed(request, "by") or ["time", "model"]
        unknown = [name for name in by if name not in DIMENSIONS]
        if unknown:
            raise wrong("by", f"expected some of {', '.join(DIMENSIONS)}", unknown[0])
        ignore = [field for name, fields in DIMENSIONS.items() if name not in by for field in fields]
        found = await self._services.books.used(which, spans)
        if "time" not in by:
            found = [(spans[0], [line for _, lines in found for line in lines])]
        rows = [_row(span, line, by) for span, lines in found for line in together(lines, ignore)]
        return JSONResponse({"rows": rows})

    async def charges(self, request: Request) -> Response:
        """Charge by charge, newest first; with `format=cloudevents` as an export, oldest first, an event a line."""
        caller = await admin_of(request, self._services)
        which = await self._which(request, await tenants_asked(request, self._services, caller))
        period, size = period_asked(request, self._services.clock.now_us()), page_size(request)
        span = Span(start=period.since, since_us=microseconds(period.since), until_us=microseconds(period.until))
        export = _is_export(request)
        after = _cursor(request.query_params.get("cursor", ""))
        found = await self._services.books.charges(which, span, after, size + 1, newest_first=not export)
        page = found[:size]
        cursor = f"{page[-1].created_us}.{page[-1].line}" if len(found) > size else None
        if export:
            headers = {} if cursor is None else {CURSOR: cursor}
            lines = b"".join(msgspec.json.encode(event(charge)) + b"\n" for charge in page)
            return Response(lines, headers=headers, media_type="application/x-ndjson")
        events = [_event(charge) for charge in page]
        return JSONResponse({"billing_events": events, "next_cursor": cursor, "has_more": cursor is not None})

    async def _asked(self, request: Request) -> tuple[Which, list[Span]]:
        caller = await admin_of(request, self._services)
        which = await self._which(request, await tenants_asked(request, self._services, caller))
        return which, spans_asked(period_asked(request, self._services.clock.now_us()))

    async def _which(self, request: Request, tenants: tuple[str, ...]) -> Which:
        endpoints, keys = listed(request, "endpoint_id"), listed(request, "api_key_id")
        return Which(tenants=tenants, endpoints=tuple(endpoints), keys=tuple(keys))


def _charged(lines: Iterable[Used]) -> list[Used]:
    return [line for line in lines if line.charges]


def _result(line: Used) -> dict[str, Any]:
    cost = line.amount_nano / 1e9
    result = {
        "endpoint_id": line.endpoint,
        "unit": _unit(line.unit),
        "quantity": line.quantity_micro / 1e6,
        "unit_price": line.unit_nano / 1e9,
        "percent_discount": 0.0,
        "cost_subtotal": cost,
        "cost_discount": 0.0,
        "cost_total": cost,
        "cost": cost,
        "currency": line.currency,
    }
    return result if line.key_id is None else {**result, "auth_method": line.key_name, "api_key_id": line.key_id}


def _row(span: Span, line: Used, by: list[str]) -> dict[str, Any]:
    shown: dict[str, dict[str, Any]] = {
        "time": {"time": span.start.isoformat()},
        "tenant": {"tenant_id": line.tenant},
        "model": {"endpoint_id": line.endpoint},
        "key": {"api_key_id": line.key_id, "key": line.key_name},
    }
    dimensions = {name: value for key in shown if key in by for name, value in shown[key].items()}
    return {
        **dimensions,
        "requests": line.charges,
        "unit": _unit(line.unit),
        "unit_price": line.unit_nano / 1e9,
        "quantity": line.quantity_micro / 1e6,
        "device_seconds": line.device_ns / 1e9,
        "cost": line.amount_nano / 1e9,
        "currency": line.currency,
    }


def _event(charge: Charge) -> dict[str, Any]:
    return {
        "request_id": charge.request_id,
        "endpoint_id": charge.endpoint,
        "timestamp": datetime.fromtimestamp(charge.created_us / 1e6, UTC).isoformat(),
        "outcome": charge.outcome,
        "tenant_id": charge.tenant,
        "api_key_id": charge.key_id,
        "unit": _unit(charge.unit),
        "output_units": charge.quantity_micro / 1e6,
        "unit_price": charge.unit_nano / 1e9,
        "percent_discount": 0.0,
        "cost_total": charge.amount_nano / 1e9,
        "cost_nano": charge.amount_nano,
        "cost_estimate_nano_usd": charge.quoted_nano if charge.currency == "USD" else None,
        "cost_estimate_nano": charge.quoted_nano,
        "currency": charge.currency,
    }


def _unit(unit: str | None) -> str:
    return f"{unit or 'request'}s"


def _is_export(request: Request) -> bool:
    form = request.query_params.get("format", "json")
    if form not in ("json", "cloudevents"):
        raise wrong("format", "expected json or cloudevents", form)
    return form == "cloudevents"


def _cursor(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    created, _, line = text.partition(".")
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (created, line)):
        raise wrong("cursor", "expected the next_cursor of an answer", text)
    return int(created), int(line)
