"""The product's page for browsers: its HTML at every address that it knows, and the assets that it is made of.

Built from `web/` beforehand and shipped; nothing is rendered here but the address under which the page is reached, and
nothing of it runs that did not come from this server. What it shows it fetches with a key, like any other client.
"""

from __future__ import annotations

import gzip
import mimetypes
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna import __version__
from laterna.api.hosts import origin_of
from laterna.api.services import Services
from laterna.errors import FileNotFound
from laterna.media.objects import new_key

SITE = Path(__file__).with_name("site")  # what `npm run build` in web/ writes
VIEWS = (
    *("/models", "/models/{rest:path}", "/gallery", "/requests", "/requests/{id}"),
    *("/usage", "/settings", "/docs", "/operator"),
)
BASE = '<base href="/">'
FOR_EVER = "public, max-age=31536000, immutable"  # an asset's name changes with its bytes
_COMPRESSED = {".js", ".css", ".svg"}


@dataclass(frozen=True, kw_only=True)
class Asset:
    content_type: str
    plain: bytes
    gzipped: bytes | None  # absent where it would not be smaller


class Page:
    """The root of the site and the views below it."""

    def __init__(self, services: Services) -> None:
        self._html = (SITE / "index.html").read_text(encoding="utf-8")
        bucket = services.media.signed_url(new_key()) if services.settings.direct else None
        self._pictures = "" if bucket is None else origin(bucket)  # where readers of files are sent; empty: nowhere

    def routes(self) -> list[Route]:
        return [
            Route("/", self.root, methods=["GET"]),
            *(Route(view, self.view, methods=["GET"]) for view in VIEWS),
            Route("/assets/{name}", self.asset, methods=["GET"]),
        ]

    async def root(self, request: Request) -> Response:
        """The page for browsers, a greeting for programs."""
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"name": "laterna", "version": __version__})
        return await self.view(request)

    async def view(self, request: Request) -> Response:
        """The page, which reads from its address what to show."""
        site = origin_of(request).site
        prefix = escape(urlsplit(site).path.rstrip("/") + "/", quote=True)
        headers = {
            "content-security-policy": policy(site, self._pictures),
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        }
        html = self._html.replace(BASE, f'<base href="{prefix}">')
        return Response(html, media_type="text/html", headers=headers)

    async def asset(self, request: Request) -> Response:
        """A script, a style or a picture of the page."""
        asset = _assets().get(request.path_params["name"])
        if asset is None:
            raise FileNotFound("no such part of the page; reload it, it may be newer now")
        headers = {"content-type": asset.content_type, "cache-control": FOR_EVER, "vary": "accept-encoding"}
        if asset.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.gzipped, headers={**headers, "content-encoding": "gzip"})
        return Response(asset.plain, headers=headers)


def policy(site: str, pictures: str = "") -> str:
    """What a browser may do for the page: run its own scripts and talk to this server, and nothing else.

    Args:
        pictures: origin of a bucket that readers of files are sent to; empty where there is none.
    """
    sockets = f"{'wss' if site.startswith('https:') else 'ws'}://{urlsplit(site).netloc}"
    elsewhere = f" {pictures}" if pictures else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob:{elsewhere}",
            f"connect-src 'self' {sockets}{elsewhere}",
            "base-uri 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def origin(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@cache
def _assets() -> dict[str, Asset]:
    return {path.name: _asset(path) for path in sorted((SITE / "assets").iterdir())}


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix == ".js":  # whatever the machine's own table says
        content_type = "text/javascript"
    gzipped = gzip.compress(plain, 9, mtime=0) if path.suffix in _COMPRESSED else None
    return Asset(content_type=content_type, plain=plain, gzipped=gzipped)
