"""Who sent a request: a key in the Authorization header, or a short-lived token where no header can be sent."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from laterna.api.services import Services
from laterna.catalog.endpoint_id import parse_endpoint_id
from laterna.errors import Forbidden, Unauthorized
from laterna.tenants.caller import API, Caller
from laterna.tenants.tokens import Token

APP_TOKEN = "fal_jwt_token"  # query parameter
APP_PURPOSE = "app"  # of a token that calls endpoints
UPLOAD_PURPOSE = "upload"  # of a token that uploads files
STREAM_PURPOSE = "stream"  # of a token that follows one request


async def caller_of(connection: HTTPConnection, services: Services, endpoint_id: str = "") -> Caller:
    """The caller, who may use the API. A token must name the endpoint.

    Raises Unauthorized without a good key or token, Forbidden for a key or token that may not do this.
    """
    token = connection.query_params.get(APP_TOKEN)
    if token is None or "authorization" in connection.headers:
        caller = await services.keys.authenticate(connection.headers.get("authorization"))
        caller.need(API)
        return caller
    said = await _said(services, token, APP_PURPOSE)
    if not _opens(said.apps, endpoint_id):
        raise Forbidden(f"the token does not open {endpoint_id!r}; ask for one with it among allowed_apps")
    return Caller(tenant=said.tenant, key_id=said.key_id, scopes=frozenset({API}))


async def uploader_of(connection: HTTPConnection, services: Services) -> Caller:
    """The caller of an upload: a key, or the bearer of an upload token."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or text.count(".") != 2:
        return await caller_of(connection, services)
    said = await _said(services, text.strip(), UPLOAD_PURPOSE)
    return Caller(tenant=said.tenant, key_id=said.key_id, scopes=frozenset({API}))


def upload_token(services: Services, caller: Caller, key: str, seconds: float) -> str:
    """A token that may write one file and nothing else."""
    return services.tokens.mint(caller, f"{UPLOAD_PURPOSE}:{key}", seconds)


async def holder_of(services: Services, token: str, key: str) -> Caller:
    """The caller whose upload token of this very file it is. Raises Unauthorized for any other."""
    if not token:
        raise Unauthorized("the address of an upload carries a token; use it as it was given")
    said = await _said(services, token, f"{UPLOAD_PURPOSE}:{key}")
    return Caller(tenant=said.tenant, key_id=said.key_id, scopes=frozenset({API}))


def stream_token(services: Services, caller: Caller, request_id: str, seconds: float) -> str:
    """A token that may follow one request and nothing else."""
    return services.tokens.mint(caller, f"{STREAM_PURPOSE}:{request_id}", seconds)


async def follower_of(services: Services, token: str, request_id: str) -> Caller:
    """The caller whose token for following this very request it is. Raises Unauthorized for any other."""
    said = await _said(services, token, f"{STREAM_PURPOSE}:{request_id}")
    return Caller(tenant=said.tenant, key_id=said.key_id, scopes=frozenset({API}))


async def _said(services: Services, token: str, purpose: str) -> Token:
    """What a token says while the key that had it made is good."""
    said = services.tokens.verify(token, purpose)
    await services.keys.check(said.key_id)
    return said


def _opens(apps: tuple[str, ...], endpoint_id: str) -> bool:
    """Clients name an app by its alias, by owner and alias, or by its full id."""
    parsed = parse_endpoint_id(endpoint_id)
    return parsed is not None and bool({parsed.alias, parsed.app, parsed.full} & set(apps))
