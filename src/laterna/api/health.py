"""`/health`: the server answers. `/ready`: it can generate, and if not, why. Both say which of several servers it is,
the one that dispatches or a replica, and ask for no key.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna import __version__
from laterna.api.services import Services


class Health:
    """For people, load balancers and `laterna status`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/health", self.health, methods=["GET"]), Route("/ready", self.ready, methods=["GET"])]

    async def health(self, request: Request) -> Response:
        problem = self._services.problem()
        endpoints = sum(len(card.endpoints) for card in self._services.catalog.cards())
        body = {"status": "ok", "version": __version__, "endpoints": endpoints, "ready": problem is None}
        body["role"] = self._services.role()
        return JSONResponse(body if problem is None else {**body, "problem": problem})

    async def ready(self, request: Request) -> Response:
        problem = self._services.problem()
        if problem is None:
            return JSONResponse({"status": "ready", "role": self._services.role()})
        body = {"status": "not ready", "role": self._services.role(), "problem": problem}
        return JSONResponse(body, 503, {"retry-after": "1"})
