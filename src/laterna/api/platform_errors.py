"""Errors in the shape of fal's platform API: a type of six, and a message."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from laterna.api.errors import STATUS, retry_headers
from laterna.errors import LaternaError

_KINDS = {401: "authorization_error", 403: "authorization_error", 404: "not_found", 429: "rate_limited"}


def refusal(error: LaternaError) -> Response:
    """The answer to a request that raised this."""
    status = STATUS.get(error.code, 500)
    kind = "server_error" if status >= 500 else _KINDS.get(status, "validation_error")
    body = {"error": {"type": kind, "message": error.message}}
    return JSONResponse(body, 400 if kind == "validation_error" else status, retry_headers(status))
