"""Replicate's API, what there is: models, versions, account, hardware. What is not served says what is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import read_body
from laterna.api.callers import caller_of
from laterna.api.dialects import REPLICATE
from laterna.api.hosts import origin_of
from laterna.api.replicate_models import Found, Models, model_body, version_body
from laterna.api.replicate_views import BASE
from laterna.api.services import Services
from laterna.errors import InvalidInput, NotFound, Problem
from laterna.tenants.caller import READ

ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"]
SERVED = f"predictions, models, files, account and hardware below {BASE}"
INSTEAD = {  # by what an address names
    "trainings": "this server trains nothing; train a LoRA elsewhere and give its file in an input's loras",
    "deployments": f"every model here is always deployed; POST {BASE}/models/{{owner}}/{{name}}/predictions runs it",
}
PAGE = 25  # models
LONGEST_QUERY = 10_000  # bytes


class ReplicateCatalog:
    """`/replicate/v1/models`, `.../account` and `.../hardware`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._models = Models(services.catalog)

    def routes(self) -> list[Route]:
        one = f"{BASE}/models/{{model:path}}"
        return [
            Route(f"{BASE}/account", self.account, methods=["GET"]),
            Route(f"{BASE}/hardware", self.hardware, methods=["GET"]),
            Route(f"{BASE}/webhooks/default/secret", self.secret, methods=["GET"]),
            Route(f"{BASE}/models", self.models, methods=["GET"]),
            Route(f"{BASE}/models", self.search, methods=["QUERY"]),
            Route(f"{one}/versions/{{version}}", self.version, methods=["GET"]),
            Route(f"{one}/versions", self.versions, methods=["GET"]),
            Route(one, self.model, methods=["GET"]),
        ]

    async def account(self, request: Request) -> Response:
        """Whose key it is."""
        caller = await caller_of(request, self._services, scope=READ)
        body = {"type": "organization", "username": caller.tenant, "name": caller.tenant, "github_url": None}
        return JSONResponse(body)

    async def hardware(self, request: Request) -> Response:
        """There is one kind: what this server has."""
        await caller_of(request, self._services, scope=READ)
        return JSONResponse([{"sku": "laterna", "name": "This server's devices"}])

    async def secret(self, request: Request) -> Response:
        """What the tenant's webhooks are signed with."""
        caller = await caller_of(request, self._services)
        return JSONResponse({"key": self._services.webhook_secret(caller.tenant)})

    async def models(self, request: Request) -> Response:
        """All models, in pages."""
        await caller_of(request, self._services, scope=READ)
        start = _cursor(request.query_params.get("cursor", "0"))
        found = self._models.matching("")
        after = f"{origin_of(request).site}{BASE}/models?cursor={start + PAGE}" if start + PAGE < len(found) else None
        return _page(request, found[start : start + PAGE], after)

    async def search(self, request: Request) -> Response:
        """Those that match the text of the body, which the JavaScript client puts in quotation marks."""
        await caller_of(request, self._services, scope=READ)
        text = (await read_body(request, LONGEST_QUERY)).decode(errors="replace").strip().strip('"')
        return _page(request, self._models.matching(text)[:PAGE], None)

    async def model(self, request: Request) -> Response:
        """One model, with its only version."""
        await caller_of(request, self._services, scope=READ)
        return JSONResponse(model_body(*self._models.named(request.path_params["model"]), origin_of(request).site))

    async def versions(self, request: Request) -> Response:
        """Its versions: the one that is served."""
        await caller_of(request, self._services, scope=READ)
        found = self._models.named(request.path_params["model"])
        return JSONResponse({"previous": None, "next": None, "results": [version_body(*found)]})

    async def version(self, request: Request) -> Response:
        """One version, with the schema of its input."""
        await caller_of(request, self._services, scope=READ)
        named = request.path_params
        return JSONResponse(version_body(*self._models.version(named["version"], named["model"])))


class ReplicateRest:
    """Whatever else its clients call; the last of its surfaces."""

    def __init__(self, services: Services) -> None:
        pass

    def routes(self) -> list[Route]:
        return [
            Route(REPLICATE, self.unserved, methods=ANY_METHOD),
            Route(f"{REPLICATE}/{{rest:path}}", self.unserved, methods=ANY_METHOD),
        ]

    async def unserved(self, request: Request) -> Response:
        path = request.url.path
        instead = "".join(f": {what}" for name, what in INSTEAD.items() if name in path.split("/"))
        raise NotFound(f"{request.method} {path[:200]!r} is not served{instead}; what is: {SERVED}")


def _page(request: Request, found: list[Found], after: str | None) -> Response:
    site = origin_of(request).site
    return JSONResponse({"previous": None, "next": after, "results": [model_body(*one, site) for one in found]})


def _cursor(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidInput(
            Problem(loc=("query", "cursor"), msg="expected a cursor of an earlier page", input=text[:40])
        )
    return int(text)
