"""fal's platform API, the part about what calls would cost: by price, by history and, ours alone, by the input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.admission import read_posted
from laterna.api.callers import caller_of
from laterna.api.platform import MOST_IDS
from laterna.api.platform_answers import body_wrong
from laterna.api.services import Services
from laterna.billing.quotes import quote
from laterna.billing.reports import Which
from laterna.tenants.caller import READ

Cost = tuple[Decimal, str]  # of one endpoint's calls, and the currency
LARGEST = 10**12  # of a quantity


class Pricing:
    """`/platform/v1/models/pricing/estimate`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/platform/v1/models/pricing/estimate", self.estimate, methods=["POST"])]

    async def estimate(self, request: Request) -> Response:
        """What calls would cost together."""
        caller = await caller_of(request, self._services, scope=READ)
        body = await read_posted(request, self._services)
        kinds: Mapping[str, Callable[[str, dict[str, Any], str], Awaitable[Cost]]] = {
            "unit_price": self._by_price,
            "historical_api_price": self._by_history,
            "input": self._by_input,
        }
        asked = body if isinstance(body, dict) else {}
        kind, endpoints = asked.get("estimate_type"), asked.get("endpoints")
        if not isinstance(kind, str) or kind not in kinds:
            raise body_wrong("estimate_type", f"expected one of {', '.join(kinds)}", kind)
        if not isinstance(endpoints, dict) or not 1 <= len(endpoints) <= MOST_IDS:
            raise body_wrong("endpoints", f"expected an object of 1 to {MOST_IDS} endpoint ids", endpoints)
        costs = [await kinds[kind](name, _object(name, given), caller.tenant) for name, given in endpoints.items()]
        currencies = {currency for _, currency in costs}
        if len(currencies) > 1:
            several = ", ".join(sorted(currencies))
            raise body_wrong("endpoints", f"they are priced in {several}; ask for those of one currency", [*endpoints])
        total = sum((cost for cost, _ in costs), Decimal(0))
        return JSONResponse({"estimate_type": kind, "total_cost": float(total), "currency": currencies.pop()})

    async def _by_price(self, name: str, given: dict[str, Any], _tenant: str) -> Cost:
        card, _ = self._services.catalog.endpoint(name)
        quantity = _quantity(f"endpoints.{name}.unit_quantity", given.get("unit_quantity"))
        return Decimal(card.price.nano) / 10**9 * quantity, card.price.currency

    async def _by_history(self, name: str, given: dict[str, Any], tenant: str) -> Cost:
        """Of the tenant's own calls."""
        card, endpoint = self._services.catalog.endpoint(name)
        quantity = _quantity(f"endpoints.{name}.call_quantity", given.get("call_quantity"))
        which = Which(tenants=(tenant,), endpoints=(endpoint.id(card),))
        known = await self._services.books.average_nano(which)
        if endpoint.id(card) not in known:
            why = "it was not called yet; ask for a unit_price estimate, or one of an input"
            raise body_wrong(f"endpoints.{name}", why, name)
        average, currency = known[endpoint.id(card)]
        return Decimal(average) / 10**9 * quantity, currency

    async def _by_input(self, name: str, given: dict[str, Any], _tenant: str) -> Cost:
        """What the queue would quote for it."""
        card, endpoint = self._services.catalog.endpoint(name)
        job = endpoint.contract.normalise(endpoint.contract.parse(given.get("input")), seed=0)
        quantity = _quantity(f"endpoints.{name}.call_quantity", given.get("call_quantity", 1))
        return Decimal(quote(card.price, job).amount_nano) / 10**9 * quantity, card.price.currency


def _object(name: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise body_wrong(f"endpoints.{name}", "expected an object", given)
    return given


def _quantity(where: str, value: object) -> Decimal:
    try:
        quantity = Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except InvalidOperation:
        quantity = None
    if quantity is None or not quantity.is_finite() or not 0 <= quantity <= LARGEST:
        raise body_wrong(where, f"expected a number from 0 to {LARGEST}", value)
    return quantity
