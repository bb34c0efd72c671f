"""Which surface a request is for, and under which addresses its client reaches us.

A surface has a path (`/queue`, `/rest`, `/cdn`, `/platform`, `/openai`, `/replicate`) on every host. All but the last
two have hosts of their own: `queue.`, `rest.`, `v3.` and `api.` before any of our names, and fal's own names, which
clients reach us by through the intercepting proxy or a hosts file. All become paths before routing. A Host that is not
ours is refused: it is another site's page in a browser, whose name was rebound to this machine. X-Forwarded headers are
believed from trusted proxies alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from laterna.api.dialects import OPENAI, REPLICATE, refusal
from laterna.api.errors import Misdirected
from laterna.config import IPNetwork, Settings
from laterna.errors import ConfigError

FAL_HOSTS = {  # fal's own names -> the surface behind each
    "fal.run": "",
    "falrun.com": "",
    "ws.fal.run": "",
    "queue.fal.run": "/queue",
    "queue.falrun.com": "/queue",
    "rest.fal.ai": "/rest",
    "rest.alpha.fal.ai": "/rest",
    "api.fal.ai": "/platform",
    "fal.ai": "",
    "fal.media": "/cdn",
    "v3.fal.media": "/cdn",
    "v3b.fal.media": "/cdn",
}
FIRST_LABELS = {"queue": "/queue", "rest": "/rest", "v3": "/cdn", "api": "/platform", "ws": ""}
# Paths that mean the same on any host.
MOUNTS = ("/queue", "/rest", "/cdn", "/platform", OPENAI, REPLICATE, "/api", "/health", "/ready", "/metrics")
_REPLICATE = re.compile(rf"^{REPLICATE}(/v1)*(?=/|$)")  # its clients add /v1 to what they are told, or do not
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the client of one request finds our surfaces: absolute URLs without a trailing slash."""

    site: str  # sync run, proxy and OpenAPI
    queue: str
    rest: str
    cdn: str
    platform: str


FAL_ORIGIN = Origin(
    site="https://fal.run",
    queue="https://queue.fal.run",
    rest="https://rest.fal.ai",
    cdn="https://v3.fal.media",
    platform="https://api.fal.ai",
)


def origin_of(connection: HTTPConnection) -> Origin:
    """The origin that `Hosts` found for this request."""
    found: Origin = connection.scope["laterna.origin"]
    return found


class Hosts:
    """Refuses foreign hosts, turns hosts into paths, drops a trailing slash; notes the origin in the scope."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = {"localhost", "127.0.0.1", "[::1]", *(name.lower() for name in settings.names)}
        self._names.add(f"[{settings.host}]" if ":" in settings.host else settings.host.lower())
        self._trusted = tuple(_network(text) for text in settings.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scheme, host, prefix = self._asked(scope)
        surface = self._surface(host, scope)
        if surface is None:
            known = ", ".join(sorted(self._names))
            foreign = Misdirected(
                f"this server is not {host[:80]!r}; it is {known}; add a name with the setting `names`"
            )
            await refusal(scope["path"], foreign)(scope, receive, send)
            return
        name = _HOST.fullmatch(host)
        own = name is not None and name["name"] in FAL_HOSTS
        scope["laterna.origin"] = FAL_ORIGIN if own else _origin(f"{scheme}://{host}{prefix}", surface)
        path = _path(scope["path"], surface)
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    def _asked(self, scope: Scope) -> tuple[str, str, str]:
        """Scheme, Host header and path prefix as the client wrote them."""
        headers = Headers(scope=scope)
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        host = headers.get("host", "").lower()
        if not self._is_trusted(scope):
            return scheme, host, ""
        scheme = _first(headers.get("x-forwarded-proto")) or scheme
        host = _first(headers.get("x-forwarded-host")).lower() or host
        prefix = _first(headers.get("x-forwarded-prefix")).strip("/")
        return "https" if scheme == "https" else "http", host, f"/{prefix}" if prefix else ""

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            peer = ip_address(scope["client"][0])
        except (TypeError, ValueError):
            return False
        return any(peer in network for network in self._trusted)

    def _surface(self, host: str, scope: Scope) -> str | None:
        """The path of the surface behind a host; None for a host that is not ours."""
        match = _HOST.fullmatch(host)
        if match is None:
            return None
        name = match["name"]
        if name in FAL_HOSTS:
            return FAL_HOSTS[name]
        if name in self._names or name.strip("[]") == _listening(scope):
            return ""
        label, _, rest = name.partition(".")
        return FIRST_LABELS[label] if label in FIRST_LABELS and rest in self._names else None


def _origin(base: str, surface: str) -> Origin:
    """Of one of our own names. Its surfaces are paths; a surface with a host of its own is at that host's root."""
    urls = {path: base if path == surface else base + path for path in ("/queue", "/rest", "/cdn", "/platform")}
    return Origin(site=base, queue=urls["/queue"], rest=urls["/rest"], cdn=urls["/cdn"], platform=urls["/platform"])


def _path(path: str, surface: str) -> str:
    trimmed = _REPLICATE.sub(f"{REPLICATE}/v1", "/" + path.strip("/"), count=1)
    if surface and not trimmed.startswith(tuple(f"{mount}/" for mount in MOUNTS)) and trimmed not in MOUNTS:
        return (surface + trimmed).rstrip("/")
    return trimmed


def _listening(scope: Scope) -> str | None:
    """The local address that the client connected to."""
    server = scope.get("server")
    return str(server[0]) if server else None


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()


def _network(text: str) -> IPNetwork:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {text!r} is no address or network, such as 10.0.0.7") from error
