"""Who sent a request: a key in the Authorization header, or a short-lived token where no header can be sent."""

from __future__ import annotations

from dataclasses import replace

import structlog
from starlette.requests import HTTPConnection

from laterna.api.services import Services
from laterna.catalog.endpoint_id import parse_endpoint_id
from laterna.errors import Forbidden, Unauthorized
from laterna.tenants.caller import API, READ, Caller

APP_TOKEN = "fal_jwt_token"  # query parameter
APP_PURPOSE = "app"  # of a token that calls endpoints
UPLOAD_PURPOSE = "upload"  # of a token that uploads files
STREAM_PURPOSE = "stream"  # of a token that follows one request
FILE_PURPOSE = "file"  # of a token that reads one file
FILE_SECONDS = 3600  # that it is good for, at least; twice that at most


async def caller_of(
    connection: HTTPConnection, services: Services, endpoint_id: str = "", *, scope: str = API
) -> Caller:
    """The caller, who has the scope. A token must name the endpoint, and can do no more than the key that had it made.

    Raises Unauthorized without a good key or token, Forbidden for a key or token that may not do this.
    """
    token = connection.query_params.get(APP_TOKEN)
    if token is None or "authorization" in connection.headers:
        caller = await services.keys.authenticate(connection.headers.get("authorization"))
    else:
        caller = await _bearer(services, token, APP_PURPOSE)
        if not opens(caller.apps, endpoint_id):
            raise Forbidden(f"the token does not open {endpoint_id!r}; ask for one with it among allowed_apps")
    structlog.contextvars.bind_contextvars(tenant=caller.tenant)
    caller.need(scope)
    return caller


def sees(caller: Caller, endpoint_id: str) -> bool:
    """Whether a request for the endpoint, of its tenant, is there for the caller: a token sees its apps' alone."""
    return not caller.apps or opens(caller.apps, endpoint_id)


async def uploader_of(connection: HTTPConnection, services: Services, *, scope: str = API) -> Caller:
    """The caller of an upload: a key, or the bearer of an upload token."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or text.count(".") != 2:
        return await caller_of(connection, services, scope=scope)
    return await _bearer(services, text.strip(), UPLOAD_PURPOSE)


def upload_token(services: Services, caller: Caller, key: str, seconds: float) -> str:
    """A token that may write one file and nothing else."""
    return services.tokens.mint(caller, f"{UPLOAD_PURPOSE}:{key}", seconds)


async def holder_of(services: Services, token: str, key: str) -> Caller:
    """The caller whose upload token of this very file it is. Raises Unauthorized for any other."""
    if not token:
        raise Unauthorized("the address of an upload carries a token; use it as it was given")
    return await _bearer(services, token, f"{UPLOAD_PURPOSE}:{key}")


def stream_token(services: Services, caller: Caller, request_id: str, seconds: float) -> str:
    """A token that may follow one request and nothing else."""
    return services.tokens.mint(caller, f"{STREAM_PURPOSE}:{request_id}", seconds)


async def follower_of(services: Services, token: str, request_id: str) -> Caller:
    """The caller whose token for following this very request it is. Raises Unauthorized for any other."""
    return await _bearer(services, token, f"{STREAM_PURPOSE}:{request_id}")


def file_token(services: Services, caller: Caller, key: str) -> str:
    """A token that may read one file and nothing else; the same for an hour, so that a browser keeps what it has."""
    left_s = FILE_SECONDS - services.clock.now_us() // 1_000_000 % FILE_SECONDS
    return services.tokens.mint(caller, f"{FILE_PURPOSE}:{key}", FILE_SECONDS + left_s)


async def reader_of(services: Services, token: str, key: str) -> Caller:
    """The caller whose token for this very file it is, while its key is good. Raises Unauthorized, Forbidden."""
    caller = await services.keys.check(services.tokens.verify(token, f"{FILE_PURPOSE}:{key}").key_id)
    structlog.contextvars.bind_contextvars(tenant=caller.tenant)
    caller.need(READ)
    return caller


async def _bearer(services: Services, token: str, purpose: str) -> Caller:
    """Who had a token made, while its key is good; no admin, whatever the key is."""
    said = services.tokens.verify(token, purpose)
    caller = await services.keys.check(said.key_id)
    structlog.contextvars.bind_contextvars(tenant=caller.tenant)
    caller.need(API)
    return replace(caller, scopes=frozenset({API}), apps=said.apps)


def opens(apps: tuple[str, ...], endpoint_id: str) -> bool:
    """Clients name an app by its alias, by owner and alias, or by its full id."""
    parsed = parse_endpoint_id(endpoint_id)
    return parsed is not None and bool({parsed.alias, parsed.app, parsed.full} & set(apps))
