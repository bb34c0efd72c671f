"""OpenAI's API, as far as images go: generation and the list of models, for OpenAI's own clients. Same durable queue.

Edits, variations, videos and speech are refused by name until there are models for them. Neighbour: `openai_stream`.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.admission import read_posted, submit
from laterna.api.attended import CLIENT_GONE, abandon, attend
from laterna.api.callers import caller_of
from laterna.api.costs import cost_headers
from laterna.api.dialects import OPENAI
from laterna.api.hosts import origin_of
from laterna.api.openai_errors import openai_told
from laterna.api.openai_images import images_body, read_images
from laterna.api.openai_stream import image_events
from laterna.api.services import Services
from laterna.api.sse import EventStream
from laterna.catalog.card import Card, Endpoint
from laterna.errors import InvalidInput, NotFound
from laterna.tenants.caller import READ

BASE = f"{OPENAI}/v1"
ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SERVED = f"GET {BASE}/models, GET {BASE}/models/{{id}} and POST {BASE}/images/generations"
AWAITED = {  # path -> what no model here does yet
    "images/edits": "edits images",
    "images/variations": "makes variations of images",
    "audio/speech": "speaks",
    "videos": "makes videos",
}
UNDATED = 0  # OpenAI wants to know when a model was made; cards do not say


class OpenAI:
    """`/openai/v1/...`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(f"{BASE}/models", self.models, methods=["GET"]),
            Route(f"{BASE}/models/{{model:path}}", self.model, methods=["GET"]),
            Route(f"{BASE}/images/generations", self.generate, methods=["POST"]),
            Route(OPENAI, self.unserved, methods=ANY_METHOD),
            Route(f"{OPENAI}/{{rest:path}}", self.unserved, methods=ANY_METHOD),
        ]

    async def models(self, request: Request) -> Response:
        """Every endpoint, as a model."""
        await caller_of(request, self._services, scope=READ)
        listed = [_model(card, end) for card in self._services.catalog.cards() for end in card.endpoints]
        return JSONResponse({"object": "list", "data": listed})

    async def model(self, request: Request) -> Response:
        """One endpoint, as a model."""
        await caller_of(request, self._services, scope=READ)
        return JSONResponse(_model(*self._services.catalog.endpoint(request.path_params["model"])))

    async def generate(self, request: Request) -> Response | EventStream:
        """Generate and answer with the images, or with events that end with them."""
        services = self._services
        caller = await caller_of(request, services)
        asked = read_images(await read_posted(request, services), services.catalog)
        try:
            admitted = await submit(
                request,
                services,
                caller,
                asked.endpoint,
                asked.input,
                dialect="openai",
                previews=bool(asked.partials),
                direct=True,
            )
        except InvalidInput as error:
            raise asked.in_senders_words(error) from error
        if asked.partials is not None:
            events = image_events(services, admitted, asked.partials)
            return EventStream(events, admitted.headers, lambda: abandon(services, admitted))
        view = await attend(request, services, admitted)
        if view is None:
            return Response(status_code=CLIENT_GONE, headers=admitted.headers)
        if view.trouble is not None:
            response = openai_told(view.trouble.code, view.trouble.message)
            # The queue has tried as often as it may; the client would begin all over, twice.
            response.headers.update({**admitted.headers, "x-should-retry": "false"})
            return response
        body = await images_body(view, services, origin_of(request).cdn, asked.form)
        return JSONResponse(body, headers={**admitted.headers, **cost_headers(view)})

    async def unserved(self, request: Request) -> Response:
        """Whatever else OpenAI's clients call."""
        path = request.url.path
        below = path.removeprefix(f"{BASE}/")
        why = next(
            (f"no model here {does} yet: " for of, does in AWAITED.items() if f"{below}/".startswith(f"{of}/")), ""
        )
        raise NotFound(f"{why}{request.method} {path[:200]!r} is not served; what is: {SERVED}")


def _model(card: Card, endpoint: Endpoint) -> dict[str, Any]:
    owner = card.id.partition("/")[0]
    return {"id": endpoint.id(card), "object": "model", "created": UNDATED, "owned_by": owner}
