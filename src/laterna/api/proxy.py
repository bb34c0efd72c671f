"""`/api/fal/proxy`: where fal's JavaScript client sends everything when it is told of a proxy.

The address that it meant is in a header. Known hosts and paths of fal become our own routes, handled in this process;
nothing is ever fetched, no key is ever added, and any other address is refused.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from laterna.api.errors import BadRequest, error_response
from laterna.api.hosts import FAL_HOSTS

PATH = "/api/fal/proxy"
TARGET = "x-fal-target-url"


class Proxy:
    """Hands a request whose target is one of fal's hosts to the same application under our own path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        try:
            path, query = internal(Headers(scope=scope).get(TARGET, ""))
        except BadRequest as error:
            await error_response(error)(scope, receive, send)
            return
        target = {**scope, "path": path, "raw_path": path.encode(), "query_string": query.encode()}
        await self._app(target, receive, send)


def internal(url: str) -> tuple[str, str]:
    """Our path and the query for one of fal's URLs. Raises BadRequest for any other."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadRequest(f"{TARGET}: {url[:200]!r} is no readable URL") from error
    if parts.scheme != "https" or host not in FAL_HOSTS or port not in (None, 443) or "@" in parts.netloc:
        known = ", ".join(sorted(FAL_HOSTS))
        raise BadRequest(f"{TARGET}: {url[:200]!r} is no address of fal; this proxy reaches https:// and {known} alone")
    path = FAL_HOSTS[host] + "/" + unquote(parts.path).strip("/")
    if path.rstrip("/") == PATH:
        raise BadRequest(f"{TARGET}: a proxy cannot be its own target")
    return path.rstrip("/") or "/", parts.query
