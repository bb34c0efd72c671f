"""fal's platform API, what things will cost: so many units at the catalogue's price, or so many calls as they used to
cost their tenant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import read_json
from laterna.api.callers import caller_of
from laterna.api.services import Services
from laterna.catalog.card import Card, Endpoint
from laterna.contracts.problems import echo
from laterna.errors import EndpointNotFound, InvalidInput, Problem

UNITS, CALLS = "unit_price", "historical_api_price"
QUANTITIES = {UNITS: "unit_quantity", CALLS: "call_quantity"}  # kind of estimate -> its field
MOST = 50  # endpoints
LARGEST = 1e12  # quantity
SMALL_BODY = 64 * 1024  # bytes
PAST_US = 30 * 86_400_000_000  # how far back what calls used to cost is looked for


class PlatformEstimates:
    """`/platform/v1/models/pricing/estimate`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/platform/v1/models/pricing/estimate", self.estimate, methods=["POST"])]

    async def estimate(self, request: Request) -> Response:
        """The sum over all endpoints that are named."""
        caller = await caller_of(request, self._services)
        kind, quantities = _asked(await read_json(request, SMALL_BODY))
        found = {name: self._services.catalog.endpoint(name) for name in quantities}
        currencies = {card.price.currency for card, _ in found.values()}
        if len(currencies) > 1:
            raise _wrong("endpoints", f"their prices are in {' and '.join(sorted(currencies))}; ask for each alone", "")
        total = 0.0
        for name, quantity in quantities.items():
            card, endpoint = found[name]
            each = card.price.nano if kind == UNITS else await self._usual(caller.tenant, card, endpoint)
            total += quantity * each / 1e9
        return JSONResponse({"estimate_type": kind, "total_cost": total, "currency": currencies.pop()})

    async def _usual(self, tenant: str, card: Card, endpoint: Endpoint) -> int:
        """What a call cost in the last month. Raises EndpointNotFound where there was none."""
        since = self._services.clock.now_us() - PAST_US
        mean = await self._services.requests.usual_price(tenant, endpoint.id(card), since)
        if mean is None:
            raise EndpointNotFound(
                f"{endpoint.id(card)!r} was not called in the last month; ask for estimate_type {UNITS!r}"
            )
        return mean


def _asked(body: object) -> tuple[str, Mapping[str, float]]:
    """Which kind of estimate, and how much of each endpoint. Raises InvalidInput naming the field."""
    said: dict[str, Any] = body if isinstance(body, dict) else {}
    kind, endpoints = said.get("estimate_type"), said.get("endpoints")
    if not isinstance(kind, str) or kind not in QUANTITIES:
        raise _wrong("estimate_type", f"expected {' or '.join(QUANTITIES)}", kind)
    if not isinstance(endpoints, dict) or not 0 < len(endpoints) <= MOST:
        raise _wrong("endpoints", f"expected 1 to {MOST} endpoint ids, each with {QUANTITIES[kind]}", endpoints)
    return kind, {name: _quantity(name, asked, QUANTITIES[kind]) for name, asked in endpoints.items()}


def _quantity(name: str, asked: object, field: str) -> float:
    value = asked.get(field) if isinstance(asked, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(f"endpoints.{name}.{field}", "expected a number", value)
    if not 0 <= value <= LARGEST:
        raise _wrong(f"endpoints.{name}.{field}", f"expected 0 to {LARGEST:.0f}", value)
    return value


def _wrong(name: str, why: str, value: object) -> InvalidInput:
    return InvalidInput(Problem(loc=("body", name[:200]), msg=why, type="value_error", input=echo(value)))
