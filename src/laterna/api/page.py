"""`/` in a browser: what this server is, what it serves and how to call it. Static, without scripts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from laterna import __version__
from laterna.api.hosts import origin_of
from laterna.api.services import Services

_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Page:
    """The root of the site."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/", self.root, methods=["GET"])]

    async def root(self, request: Request) -> Response:
        """The page for browsers, a greeting for programs."""
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"name": "laterna", "version": __version__})
        rows = [
            f"<tr><td><code>{escape(end.id(card))}</code></td><td>{escape(card.description)}</td>"
            f"<td>{escape(card.licence)}</td></tr>"
            for card in self._services.catalog.cards()
            for end in card.endpoints
        ]
        problem = self._services.problem()
        state = "ready" if problem is None else f"not ready: {escape(problem)}"
        page = _PAGE.substitute(site=escape(origin_of(request).site), state=state, rows="\n".join(rows))
        return HTMLResponse(page, headers={"content-security-policy": POLICY})
