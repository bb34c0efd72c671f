"""fal's platform API, the part about keys: list, create, revoke; and ours: rotate, scopes, models, expiry.

Admin keys manage their own tenant's; the operator's manage any tenant's, named by `tenant_id`. Nobody gives away more
than they have. A secret is shown once, in the answer that made it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import read_json
from laterna.api.fields import Fields
from laterna.api.platform_answers import admin_of, tenant_asked
from laterna.api.services import Services
from laterna.tenants.caller import ADMIN, KINDS, Caller, check_patterns
from laterna.tenants.keys import Key, NewKey

BASE = "/platform/v1/keys"
SMALL_BODY = 64 * 1024  # bytes
MOST_MODELS = 100
LONGEST_NAME = 100  # characters
YEARS_SECONDS = 10 * 365 * 86_400
USUAL_OVERLAP_SECONDS = 86_400
LONGEST_OVERLAP_SECONDS = 30 * 86_400


class PlatformKeys:
    """`/platform/v1/keys`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(BASE, self.list, methods=["GET"]),
            Route(BASE, self.create, methods=["POST"]),
            Route(f"{BASE}/{{key_id}}", self.revoke, methods=["DELETE"]),
            Route(f"{BASE}/{{key_id}}/rotate", self.rotate, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """The keys that have not ended."""
        _, tenant = await self._whose(request)
        now = self._services.clock.now_us()
        keys = [_told(key) for key in await self._services.keys.list(tenant) if key.lives(now)]
        return JSONResponse({"keys": keys, "next_cursor": None, "has_more": False})

    async def create(self, request: Request) -> Response:
        """A new key, its secret in the answer and nowhere else."""
        caller, tenant = await self._whose(request)
        fields = Fields(await read_json(request, SMALL_BODY))
        name = fields.text("alias", LONGEST_NAME)
        kind = fields.one_of("scope", tuple(KINDS), "api")
        models = tuple(fields.texts("models", MOST_MODELS) or caller.models)
        realtime = fields.truth("realtime")
        lives_s = fields.number("expires_in_seconds", 1, YEARS_SECONDS)
        fields.done()
        check_patterns(models)
        caller.need_to_give(models, realtime)
        expires = None if lives_s is None else self._services.clock.now_us() + round(lives_s * 1e6)
        made = await self._services.keys.create(tenant, name, KINDS[kind], expires, models=models, realtime=realtime)
        return JSONResponse(_shown(made), 201)

    async def revoke(self, request: Request) -> Response:
        """From now on nobody enters with it."""
        _, tenant = await self._whose(request)
        await self._services.keys.revoke(tenant, request.path_params["key_id"])
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """Another secret; the former one is good for `overlap_seconds` more."""
        caller, tenant = await self._whose(request)
        key_id = request.path_params["key_id"]
        for key in await self._services.keys.list(tenant):
            if key.id == key_id:
                caller.need_to_give(key.models, key.realtime)
        fields = Fields(await read_json(request, SMALL_BODY))
        overlap_s = fields.number("overlap_seconds", 0, LONGEST_OVERLAP_SECONDS)
        fields.done()
        seconds = USUAL_OVERLAP_SECONDS if overlap_s is None else overlap_s
        made = await self._services.keys.rotate(tenant, key_id, seconds)
        until = self._services.clock.now_us() + round(seconds * 1e6)
        return JSONResponse({**_shown(made), "former_until": time_of(until)})

    async def _whose(self, request: Request) -> tuple[Caller, str]:
        caller = await admin_of(request, self._services)
        return caller, await tenant_asked(request, self._services, caller)


def time_of(moment_us: int | None) -> str | None:
    return None if moment_us is None else datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat()


def _told(key: Key) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "alias": key.name,
        "scope": "ADMIN" if ADMIN in key.scopes else next(iter(sorted(key.scopes)), "API"),
        "created_at": time_of(key.created_us),
        "last_used_at": time_of(key.used_us),
        "expires_at": time_of(key.expires_us),
        "models": list(key.models),
        "realtime": key.realtime,
    }


def _shown(made: NewKey) -> dict[str, Any]:
    return {"key_id": made.id, "key_secret": made.secret, "key": made.text}
