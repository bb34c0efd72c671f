"""The outermost layer: an id for every response, CORS, a line of log, and an answer to errors nobody expected.

Logs name the path alone: queries hold tokens, and so do the paths of files, of which only the surface is named.
"""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

REQUEST_ID = "x-fal-request-id"
OPENAI_REQUEST_ID = "x-request-id"  # where OpenAI's clients look for the same id
EXPOSED = ", ".join(
    (
        REQUEST_ID,
        OPENAI_REQUEST_ID,
        "x-fal-request-timeout-type",
        "x-fal-error-type",
        "x-fal-billable-units",
        "x-laterna-estimate",
        "x-laterna-cost",
        "x-laterna-budget-warning",
        "x-fal-served-from",
        "etag",
        "content-length",
        "content-range",
        "accept-ranges",
        "content-disposition",
        "retry-after",
    )
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY"
_ALLOWED = re.compile(
    r"authorization|content-type|accept|accept-language|range|cache-control|prefer|cancel-after"
    r"|traceparent|tracestate|baggage|x-(app-)?fal-[a-z0-9-]+|x-stainless-[a-z0-9-]+|openai-(organization|project)"
)
_SECRET = re.compile(r"^((?:/cdn)?/files)/.*")


class Edge:
    """Wraps everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await _preflight(scope)(scope, receive, answer.send)
            return
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            # The edge of a request: recorded here; the application has answered already where it could.
            log.exception("a request failed unexpectedly", path=_path(scope))
            if not answer.complete:
                raise
        finally:
            answer.log(scope)


class _Answer:
    """Watches one response go out and adds to its headers."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = str(uuid.uuid4())
        self.complete = False
        self._send = send
        self._status = 0
        self._start = time.monotonic_ns()
        scope["laterna.id"] = self.id
        structlog.contextvars.bind_contextvars(request_id=self.id)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            self.id = headers.setdefault(REQUEST_ID, self.id)
            structlog.contextvars.bind_contextvars(request_id=self.id)
            headers.setdefault(OPENAI_REQUEST_ID, self.id)
            headers.setdefault("access-control-allow-origin", "*")
            headers.setdefault("access-control-expose-headers", EXPOSED)
            headers.setdefault("cache-control", "no-store")
            headers.setdefault("x-content-type-options", "nosniff")
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    def log(self, scope: Scope) -> None:
        spent = round((time.monotonic_ns() - self._start) / 1e6, 1)
        log.debug("http", method=scope["method"], path=_path(scope), status=self._status, ms=spent)


def _path(scope: Scope) -> str:
    return _SECRET.sub(r"\1/…", str(scope["path"]))[:300]


def _preflight(scope: Scope) -> Response:
    """Any page may call us: what it needs is a key, never the browser's own credentials."""
    asked = Headers(scope=scope).get("access-control-request-headers", "").lower().split(",")
    allowed = [name.strip() for name in asked if _ALLOWED.fullmatch(name.strip())]
    headers = {
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": ", ".join(allowed),
        "access-control-max-age": "86400",
        "vary": "access-control-request-headers",
    }
    return Response(status_code=204, headers=headers)
