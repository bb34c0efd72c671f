"""What the page asks for beside the clients' own API: who is signed in, estimates, the gallery, lists of requests.

Everything is the caller's tenant's alone, but for the speeds of this machine. Neighbours: `page_live`, which tells what
changes, and `page_bodies`, which says it in JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna import __version__
from laterna.api.admission import read_posted
from laterna.api.callers import caller_of, file_token
from laterna.api.hosts import origin_of
from laterna.api.page_bodies import addresses, asked_body, eta_body, moment, picture_body, request_body
from laterna.api.page_callers import live_token
from laterna.api.services import Services
from laterna.billing.quotes import quote
from laterna.catalog.card import Card, Endpoint
from laterna.contracts.loras import OWN, OWNER
from laterna.errors import InvalidInput, Problem
from laterna.requests.pictures import PictureFilter
from laterna.requests.requests import Filter, RequestView
from laterna.store.states import OUTCOMES, STATES
from laterna.tenants.caller import READ

PAGE = 60  # items of a list, unless asked for fewer or more
LORAS_OF = 200  # latest pictures, whose LoRAs are offered again
LONGEST_WORDS = 200  # characters


class PageViews:
    """`/api/page/...`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("/api/page/session", self.session, methods=["GET"]),
            Route("/api/page/token", self.token, methods=["POST"]),
            Route("/api/page/speeds", self.speeds, methods=["GET"]),
            Route("/api/page/estimate/{endpoint:path}", self.estimate, methods=["POST"]),
            Route("/api/page/loras", self.loras, methods=["GET"]),
            Route("/api/page/pictures", self.pictures, methods=["GET"]),
            Route("/api/page/requests", self.requests, methods=["GET"]),
            Route("/api/page/requests/{request_id}", self.request, methods=["GET"]),
        ]

    async def session(self, request: Request) -> Response:
        """Whose key it is and what it may do."""
        caller = await caller_of(request, self._services, scope=READ)
        body = {
            "tenant": caller.tenant,
            "scopes": sorted(caller.scopes),
            "operator": caller.operates,
            "version": __version__,
            "problem": self._services.problem(),
        }
        return JSONResponse(body)

    async def token(self, request: Request) -> Response:
        """What opens the page's WebSocket, for a minute."""
        caller = await caller_of(request, self._services, scope=READ)
        return JSONResponse({"token": live_token(self._services, caller)})

    async def speeds(self, request: Request) -> Response:
        """Seconds that one picture with an endpoint's defaults takes here; null for a model that never ran."""
        await caller_of(request, self._services, scope=READ)
        cards = self._services.catalog.cards()
        return JSONResponse({end.id(card): self._usual_s(card, end) for card, end in _all_of(cards)})

    async def estimate(self, request: Request) -> Response:
        """Price and time of an input if it were sent now. Raises InvalidInput as sending it would."""
        caller = await caller_of(request, self._services, scope=READ)
        card, endpoint = self._services.catalog.endpoint(request.path_params["endpoint"])
        raw = await read_posted(request, self._services)
        job = endpoint.contract.normalise(endpoint.contract.parse(raw), seed=0)
        body = {
            "price": {"amount": quote(card.price, job).amount_nano / 1e9, "currency": card.price.currency},
            "eta": eta_body(self._services.floor.would_take(caller.tenant, card.id, job)),
        }
        return JSONResponse(body)

    async def loras(self, request: Request) -> Response:
        """LoRAs to pick from: those that the operator laid here, then those of the tenant's latest pictures."""
        caller = await caller_of(request, self._services, scope=READ)
        page = await self._services.requests.pictures(caller.tenant, PictureFilter(), None, LORAS_OF)
        used = [lora.path for one in page.items if one.generation is not None for lora in one.generation.loras]
        own = await asyncio.to_thread(own_loras, self._services.settings.loras)
        return JSONResponse({"loras": list(dict.fromkeys((*own, *used)))})

    async def pictures(self, request: Request) -> Response:
        """The gallery: a page of what was generated, newest first."""
        caller, query = await caller_of(request, self._services, scope=READ), request.query_params
        which = PictureFilter(
            endpoint=query.get("endpoint_id") or None,
            words=query.get("words", "")[:LONGEST_WORDS] or None,
            since_us=_moment(request, "since"),
            until_us=_moment(request, "until"),
        )
        page = await self._services.requests.pictures(
            caller.tenant, which, query.get("cursor") or None, _limit(request)
        )
        cdn, token = origin_of(request).cdn, partial(file_token, self._services, caller)
        pictures = [picture_body(one, cdn, token) for one in page.items]
        return JSONResponse({"pictures": pictures, "next_cursor": page.cursor})

    async def requests(self, request: Request) -> Response:
        """A page of requests, newest first; where those that wait stand, the WebSocket tells."""
        caller, query = await caller_of(request, self._services, scope=READ), request.query_params
        which = Filter(
            states=_one_of(request, "state", tuple(STATES)),
            outcomes=_one_of(request, "outcome", tuple(OUTCOMES)),
            endpoints=(query["endpoint_id"],) if query.get("endpoint_id") else None,
        )
        page = await self._services.requests.page(caller.tenant, query.get("cursor") or None, _limit(request), which)
        items = [request_body(view, progress=self._services.progress(view.request_id)) for view in page.items]
        return JSONResponse({"requests": items, "next_cursor": page.cursor})

    async def request(self, request: Request) -> Response:
        """One request with what was sent, what the engine was asked, its log and its pictures."""
        services, caller = self._services, await caller_of(request, self._services, scope=READ)
        view = await services.requests.get(caller.tenant, request.path_params["request_id"])
        lines = await services.requests.logs(caller.tenant, view.request_id)
        body = {
            **request_body(view, None if view.settled else services.eta(view), services.progress(view.request_id)),
            "input": await services.requests.raw_input(caller.tenant, view.request_id),
            "asked": asked_body(view.generation),
            "webhook_url": view.webhook_url,
            "outputs": _outputs(view, origin_of(request).cdn, partial(file_token, services, caller)),
            "logs": [{"at": moment(line.time_us), "level": line.level, "message": line.message} for line in lines],
        }
        return JSONResponse(body)

    def _usual_s(self, card: Card, endpoint: Endpoint) -> float | None:
        usual = endpoint.contract.normalise(endpoint.contract.parse({"prompt": "x"}), seed=0)
        return self._services.floor.alone_s(card.ref().name, usual)


def _all_of(cards: Any) -> list[tuple[Card, Endpoint]]:
    return [(card, endpoint) for card in cards for endpoint in card.endpoints]


def own_loras(folder: Path) -> list[str]:
    """The paths that name what lies in the folder."""
    names = sorted(f"{OWNER}/{path.stem}" for path in folder.glob("*.safetensors"))
    return [name for name in names if OWN.fullmatch(name)]


def _outputs(view: RequestView, cdn: str, token: Callable[[str], str]) -> list[dict[str, Any]]:
    """Its pictures that are still there; those that were handed over are not."""
    return [
        {
            **addresses(made, cdn, token),
            "file_name": made.file_name,
            "content_type": made.content_type,
            "size_bytes": made.size_bytes,
            "sha256": made.sha256,
            "width": made.width,
            "height": made.height,
            "index": made.index,
            "seed": made.seed,
        }
        for made in view.outputs
        if not made.deleted and not made.inline
    ]


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return PAGE
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= 200:
        raise _wrong("limit", "expected 1 to 200", text)
    return int(text)


def _one_of(request: Request, name: str, known: tuple[str, ...]) -> tuple[str, ...] | None:
    found = tuple(text for text in request.query_params.getlist(name) if text)
    for text in found:
        if text not in known:
            raise _wrong(name, f"expected one of {', '.join(known)}", text)
    return found or None


def _moment(request: Request, name: str) -> int | None:
    """UTC microseconds of an ISO 8601 time with its zone."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(name, "expected a time such as 2026-01-31T12:00:00Z", text) from error
    if found.tzinfo is None:
        raise _wrong(name, "expected a time with its zone, such as 2026-01-31T12:00:00Z", text)
    return round(found.timestamp() * 1e6)


def _wrong(name: str, why: str, found: str) -> InvalidInput:
    return InvalidInput(Problem(loc=("query", name), msg=why, type="value_error", input=found[:80]))
