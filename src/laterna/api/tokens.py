"""Short-lived tokens for browsers, which must not hold a key: each opens the apps that it names."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import read_json
from laterna.api.callers import APP_PURPOSE
from laterna.api.services import Services
from laterna.errors import InvalidInput, Problem
from laterna.tenants.caller import API

SMALL_BODY = 64 * 1024  # bytes
USUAL_SECONDS = 120
LONGEST_SECONDS = 3600
MOST_APPS = 50


class AppTokens:
    """`/rest/tokens`, and `/rest/tokens/realtime` for the same"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route(path, self.mint, methods=["POST"]) for path in ("/rest/tokens", "/rest/tokens/realtime")]

    async def mint(self, request: Request) -> Response:
        """A token, as a bare JSON string. Only a key can have one made."""
        caller = await self._services.keys.authenticate(request.headers.get("authorization"))
        caller.need(API)
        body = await read_json(request, SMALL_BODY)
        said = body if isinstance(body, dict) else {}
        apps, seconds = said.get("allowed_apps"), said.get("token_expiration", said.get("duration", USUAL_SECONDS))
        if not isinstance(apps, list) or not 0 < len(apps) <= MOST_APPS or not all(isinstance(a, str) for a in apps):
            problem = f"expected 1 to {MOST_APPS} endpoint ids"
            raise InvalidInput(Problem(loc=("body", "allowed_apps"), msg=problem))
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= LONGEST_SECONDS:
            problem = f"expected seconds, from 1 to {LONGEST_SECONDS}"
            raise InvalidInput(Problem(loc=("body", "token_expiration"), msg=problem))
        named = [app.removesuffix("/realtime") for app in apps]  # a provider of tokens is told the whole path
        return JSONResponse(self._services.tokens.mint(caller, APP_PURPOSE, seconds, named))
