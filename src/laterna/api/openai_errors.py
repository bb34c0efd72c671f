"""Errors in OpenAI's shape: a message, a type, the field that is wrong, and a code. The statuses are those of fal's
shape, but that a wrong field is a 400, as OpenAI's clients expect.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from laterna import errors
from laterna.api.errors import STATUS, retry_headers
from laterna.errors import InvalidInput, LaternaError, Problem

TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}  # status -> type
CODES = {  # our code -> OpenAI's, for those that its users' programs look for
    errors.Unauthorized.code: "invalid_api_key",
    errors.EndpointNotFound.code: "model_not_found",
    errors.QueueFull.code: "rate_limit_exceeded",
    errors.OutOfBudget.code: "insufficient_quota",
    errors.RateLimited.code: "rate_limit_exceeded",
    errors.TooManyConcurrent.code: "rate_limit_exceeded",
}


def openai_response(error: LaternaError) -> Response:
    """The answer to a request that raised this."""
    return openai_told(error.code, error.message, error.problems if isinstance(error, InvalidInput) else ())


def openai_told(code: str, message: str, problems: tuple[Problem, ...] = ()) -> Response:
    """The answer for a code, as it was raised now or stored with a request that failed."""
    status = _status(code)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else retry_headers(status)
    return JSONResponse({"error": openai_error(code, message, problems)}, status, headers)


def openai_error(code: str, message: str, problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """The error itself. `param` is the first field that is wrong; the message tells of all."""
    status = _status(code)
    fields = [_field(problem) for problem in problems]
    param = "model" if code == errors.EndpointNotFound.code else None
    return {
        "message": "; ".join(_line(problem) for problem in problems) or message,
        "type": TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": next(filter(None, fields), param),
        "code": problems[0].type if problems else CODES.get(code, code),
    }


def _status(code: str) -> int:
    status = STATUS.get(code, 500)
    return 400 if status == 422 else status


def _field(problem: Problem) -> str | None:
    return str(problem.loc[1]) if len(problem.loc) > 1 else None


def _line(problem: Problem) -> str:
    path = ".".join(map(str, problem.loc[1:]))
    return f"{path}: {problem.msg}" if path else problem.msg
