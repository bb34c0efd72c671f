"""The public keys of webhooks' signatures, where receivers look for them; no key is needed.

fal's receivers ask `https://rest.fal.ai/.well-known/jwks.json`, which reaches `/rest/...` here by that host; one that
can be told an address asks any of this server's.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.services import Services

PATH = "/.well-known/jwks.json"
LASTS = "public, max-age=300"  # receivers keep what they fetched for a day all the same


class WebhookKeys:
    """`/.well-known/jwks.json`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route(f"{surface}{PATH}", self.jwks, methods=["GET"]) for surface in ("", "/rest")]

    async def jwks(self, request: Request) -> Response:
        """A JSON Web Key Set of Ed25519 keys."""
        return JSONResponse(self._services.jwks(), headers={"cache-control": LASTS})
