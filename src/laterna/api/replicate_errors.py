"""Errors in Replicate's shape: Problem JSON (RFC 9457), with the statuses of fal's shape and, where asking again may
help, when.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

from laterna.api.errors import STATUS, retry_headers
from laterna.errors import InvalidInput, LaternaError, Problem


def replicate_response(path: str, error: LaternaError) -> Response:
    """The answer to a request for this path that raised this."""
    status = STATUS.get(error.code, 500)
    problems = error.problems if isinstance(error, InvalidInput) else ()
    body: dict[str, Any] = {
        "title": "Input validation failed" if problems else _phrase(status),
        "detail": "; ".join(_line(problem) for problem in problems) or error.message,
        "status": status,
        "type": error.code,
        "instance": path[:200],
    }
    if problems:
        body["invalid_fields"] = [_field(problem) for problem in problems]
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else retry_headers(status)
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _phrase(status: int) -> str:
    """What the status is called; 499 is nobody's but nginx's."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client closed request"


def _field(problem: Problem) -> dict[str, str]:
    return {"type": problem.type, "field": _path(problem), "description": problem.msg}


def _line(problem: Problem) -> str:
    path = _path(problem)
    return f"{path}: {problem.msg}" if path else problem.msg


def _path(problem: Problem) -> str:
    return ".".join(map(str, problem.loc[1:] if problem.loc[:1] == ("body",) else problem.loc))
