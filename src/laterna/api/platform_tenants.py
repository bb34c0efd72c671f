"""Tenants over HTTP: who shares this server, within which limits, and where one stands. fal has nothing like it.

`/limits` is everybody's own; all else is the operator's, whom anybody else takes for a page that is not there.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import read_json
from laterna.api.callers import caller_of
from laterna.api.fields import Fields
from laterna.api.platform_account import purse_body
from laterna.api.platform_answers import operator_of, tenant_asked
from laterna.api.platform_keys import SMALL_BODY, time_of
from laterna.api.services import Services
from laterna.requests.requests import Standing
from laterna.tenants.caller import READ
from laterna.tenants.limits import Limits
from laterna.tenants.tenants import HEAVIEST, Tenant

BASE = "/platform/v1/tenants"
LIMITS = ("concurrency", "queue_length", "rate_per_minute", "storage_bytes")
LARGEST = 2**53  # beyond which JSON's numbers are not exact


class PlatformTenants:
    """`/platform/v1/tenants` and `/platform/v1/limits`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(BASE, self.list, methods=["GET"]),
            Route(BASE, self.create, methods=["POST"]),
            Route(f"{BASE}/{{tenant}}", self.change, methods=["PATCH"]),
            Route("/platform/v1/limits", self.limits, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """Everybody, with weights and limits."""
        await operator_of(request, self._services)
        return JSONResponse({"tenants": [_told(one) for one in await self._services.tenants.all()]})

    async def create(self, request: Request) -> Response:
        """A tenant; limits that are not named are those of the settings."""
        await operator_of(request, self._services)
        fields = Fields(await read_json(request, SMALL_BODY))
        tenants, name = self._services.tenants, fields.text("name", 80)
        weight, limits = _read(fields, 1, tenants.usual)
        return JSONResponse(_told(await tenants.create(name, weight, limits)), 201)

    async def change(self, request: Request) -> Response:
        """Change weight and limits, those that are named; null takes a limit away."""
        await operator_of(request, self._services)
        tenants = self._services.tenants
        fields = Fields(await read_json(request, SMALL_BODY))
        found = await tenants.find(request.path_params["tenant"])
        weight, limits = _read(fields, found.weight, found.limits)
        await tenants.change(found.id, weight, limits)
        self._services.wake()
        return JSONResponse(_told(await tenants.find(found.id)))

    async def limits(self, request: Request) -> Response:
        """Where the caller's tenant stands."""
        caller = await caller_of(request, self._services, scope=READ)
        tenant = await tenant_asked(request, self._services, caller)
        return JSONResponse(_standing(await self._services.requests.standing(tenant)))


def _read(fields: Fields, weight: int, limits: Limits) -> tuple[int, Limits]:
    """What is given, over what there is."""
    given = limits.columns()
    for name in LIMITS:
        if name in fields:
            asked = fields.number(name, 0, LARGEST)
            given[name] = None if asked is None else int(asked)
    weighs = fields.number("weight", 1, HEAVIEST)
    fields.done()
    return weight if weighs is None else int(weighs), Limits(
        concurrency=given["concurrency"],
        queue_length=given["queue_length"],
        rate=given["rate_per_minute"],
        storage_bytes=given["storage_bytes"],
    )


def _told(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": tenant.id,
        "name": tenant.name,
        "weight": tenant.weight,
        "limits": tenant.limits.columns(),
        "created_at": time_of(tenant.created_us),
    }


def _standing(found: Standing) -> dict[str, Any]:
    use = found.use
    return {
        "tenant": found.name,
        "limits": found.limits.columns(),
        "use": {
            "concurrency": use.running,
            "queue_length": use.waiting,
            "rate_per_minute": use.submitted,
            "storage_bytes": use.stored_bytes,
        },
        "share": {"weight": found.weight, "fraction": found.share},
        "queue": {"place": found.place, "tenants": found.contenders},
        "spend": [purse_body(purse) for purse in found.purses],
    }
