"""The application: surfaces, and the layers around them. Made once by the composition root."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from laterna.api.dialects import refusal
from laterna.api.downloads import Downloads
from laterna.api.edge import Edge
from laterna.api.errors import BadRequest, MethodNotAllowed
from laterna.api.fal import FalQueue
from laterna.api.fal_realtime import FalRealtime
from laterna.api.fal_run import FalRun
from laterna.api.health import Health
from laterna.api.hosts import Hosts
from laterna.api.llms import Llms
from laterna.api.measured import Measured
from laterna.api.metrics import Metrics
from laterna.api.openai import OpenAI
from laterna.api.page import Page
from laterna.api.page_live import PageLive
from laterna.api.page_views import PageViews
from laterna.api.platform import Platform
from laterna.api.platform_account import Account
from laterna.api.platform_analytics import Analytics
from laterna.api.platform_history import PlatformHistory
from laterna.api.platform_keys import PlatformKeys
from laterna.api.platform_listing import PlatformListing
from laterna.api.platform_pricing import Pricing
from laterna.api.platform_requests import PlatformRequests
from laterna.api.platform_tenants import PlatformTenants
from laterna.api.platform_usage import Usage
from laterna.api.provenance import OutputsAuthority
from laterna.api.proxy import Proxy
from laterna.api.replicate import Replicate
from laterna.api.replicate_catalog import ReplicateCatalog, ReplicateRest
from laterna.api.replicate_files import ReplicateFiles
from laterna.api.replicate_stream import ReplicateStream
from laterna.api.services import Services
from laterna.api.tokens import AppTokens
from laterna.api.uploads import Uploads
from laterna.api.webhook_keys import WebhookKeys
from laterna.errors import LaternaError, NotFound


def create_app(services: Services) -> ASGIApp:
    """Everything that this server answers over HTTP. Raises ConfigError for settings that cannot be."""
    routed = Starlette(
        routes=routes(services),
        exception_handlers={LaternaError: _refuse, HTTPException: _unrouted, Exception: _failed},
    )
    routed.router.redirect_slashes = False
    return Edge(Hosts(Proxy(Measured(routed)), services.settings))


def routes(services: Services) -> list[BaseRoute]:
    """Those of every surface."""
    # Each dialect's last takes any path of its own; the last of all takes any path.
    surfaces = (
        *(Llms, Page, PageViews, PageLive, Health, Metrics, WebhookKeys, OutputsAuthority),
        *(AppTokens, Uploads, Downloads, OpenAI),
        *(Platform, Pricing, Usage, Analytics, Account, PlatformHistory, PlatformListing, PlatformRequests),
        *(PlatformKeys, PlatformTenants),
        *(Replicate, ReplicateStream, ReplicateFiles, ReplicateCatalog, ReplicateRest),
        *(FalRealtime, FalQueue, FalRun),
    )
    return [route for surface in surfaces for route in surface(services).routes()]


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, LaternaError)
    return refusal(request.url.path, error)


async def _unrouted(request: Request, error: Exception) -> Response:
    """What the router refused: no such path, or not by this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        wrong_method = MethodNotAllowed(f"{request.method} is not for this address; use {allowed}")
        response = refusal(request.url.path, wrong_method)
        response.headers["allow"] = allowed
        return response
    path = request.url.path
    unknown = error.status_code == 404
    return refusal(path, NotFound(f"nothing at {path[:200]!r}") if unknown else BadRequest(error.detail))


async def _failed(request: Request, error: Exception) -> Response:
    """Nobody expected this; the edge has logged it."""
    trouble = LaternaError("the server failed; its log has more, under this answer's x-fal-request-id")
    return refusal(request.url.path, trouble)
