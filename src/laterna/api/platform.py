"""fal's platform API, the part that says what there is: models, their OpenAPI documents, prices. No key is needed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.hosts import Origin, origin_of
from laterna.api.services import Services
from laterna.catalog.card import Card, Endpoint
from laterna.catalog.openapi import endpoint_openapi
from laterna.errors import InvalidInput, Problem

PAGE = 50  # models in an answer, unless asked for fewer or more
LARGEST_PAGE = 100
MOST_IDS = 50
OPENAPI = "openapi-3.0"


class Platform:
    """`/platform/v1/...` and the OpenAPI document of one endpoint."""

    def __init__(self, services: Services) -> None:
        self._catalog = services.catalog

    def routes(self) -> list[Route]:
        return [
            Route("/platform/v1/models", self.models, methods=["GET"]),
            Route("/platform/v1/models/pricing", self.pricing, methods=["GET"]),
            Route("/api/openapi/queue/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def models(self, request: Request) -> Response:
        """The catalogue, filtered and in pages."""
        return JSONResponse(self._page(request))

    async def pricing(self, request: Request) -> Response:
        """What endpoints cost, those named or all."""
        found = self._chosen(listed(request, "endpoint_id"))
        prices = [
            {
                "endpoint_id": end.id(card),
                "unit_price": card.price.nano / 1e9,
                "unit": f"{card.price.unit}s",
                "currency": card.price.currency,
            }
            for card, end in found
        ]
        return JSONResponse({"prices": prices, "next_cursor": None, "has_more": False})

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of `endpoint_id`."""
        card, endpoint = self._catalog.endpoint(request.query_params.get("endpoint_id", ""))
        return JSONResponse(_document(card, endpoint, origin_of(request)))

    def _page(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        found = [
            (card, end)
            for card, end in self._chosen(listed(request, "endpoint_id"))
            if _matches(card, end, query.get("q", "")) and query.get("category") in (None, "", end.category)
        ]
        start, size = _cursor(query.get("cursor", "")), page_size(request)
        page, more = found[start : start + size], start + size < len(found)
        expand = OPENAPI in listed(request, "expand")
        return {
            "models": [_model(card, end, origin_of(request), openapi=expand) for card, end in page],
            "next_cursor": str(start + size) if more else None,
            "has_more": more,
        }

    def _chosen(self, ids: list[str]) -> list[tuple[Card, Endpoint]]:
        """The endpoints named, or all. Raises EndpointNotFound for a name that is none."""
        if len(ids) > MOST_IDS:
            raise InvalidInput(Problem(loc=("query", "endpoint_id"), msg=f"at most {MOST_IDS} ids", input=len(ids)))
        if ids:
            return [self._catalog.endpoint(name) for name in ids]
        return [(card, end) for card in self._catalog.cards() for end in card.endpoints]


def _model(card: Card, endpoint: Endpoint, origin: Origin, *, openapi: bool) -> dict[str, Any]:
    name = endpoint.id(card)
    entry: dict[str, Any] = {
        "endpoint_id": name,
        "metadata": {
            "display_name": card.name,
            "category": endpoint.category,
            "description": card.description,
            "status": "active",
            "tags": list(card.tags),
            "is_favorited": False,
            "thumbnail_url": "",
            "model_url": f"{origin.site}/{name}",
            "license_type": "commercial" if card.commercial else "research",
            "license": card.licence,
            "license_url": card.licence_url,
            "kind": "inference",
            "stream_url": f"{origin.site}/{name}/stream",
            "highlighted": False,
            "pinned": False,
        },
    }
    return {**entry, "openapi": _document(card, endpoint, origin)} if openapi else entry


def _document(card: Card, endpoint: Endpoint, origin: Origin) -> dict[str, Any]:
    return endpoint_openapi(card, endpoint, queue_url=origin.queue, site_url=origin.site)


def _matches(card: Card, endpoint: Endpoint, wanted: str) -> bool:
    """Whether every word that is wanted occurs in what the card says of itself."""
    text = " ".join((endpoint.id(card), card.name, card.description, endpoint.category, *card.tags)).lower()
    return all(word in text for word in wanted.lower().split())


def listed(request: Request, name: str) -> list[str]:
    """A parameter that may be repeated or comma-separated; its `[]` form as well."""
    given = request.query_params.getlist(name) + request.query_params.getlist(f"{name}[]")
    return [item.strip() for text in given for item in text.split(",") if item.strip()]


def page_size(request: Request) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return PAGE
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= LARGEST_PAGE:
        raise InvalidInput(Problem(loc=("query", "limit"), msg=f"expected 1 to {LARGEST_PAGE}", input=text[:40]))
    return int(text)


def _cursor(text: str) -> int:
    """Where a page begins. The catalogue does not change while the server runs."""
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidInput(Problem(loc=("query", "cursor"), msg="expected a next_cursor of an answer", input=text[:40]))
    return int(text)
