"""Errors as HTTP: the one place where a code becomes a status; a body and headers in fal's two shapes.

A model's error has a list of details, one for each field; any other has a text and an `error_type`. Both carry a
`message` as well, because the JavaScript client reads nothing else.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from laterna import errors
from laterna.errors import InvalidInput, LaternaError, Problem


class Misdirected(LaternaError):
    """The Host header names another site."""

    code = "misdirected_request"


class BadRequest(LaternaError):
    """What was sent is not even readable."""

    code = "bad_request"


class TooSlow(LaternaError):
    """What was sent came too slowly to wait for its end."""

    code = "body_timeout"


class MethodNotAllowed(LaternaError):
    code = "method_not_allowed"


STATUS: dict[str, int] = {  # code -> status
    InvalidInput.code: 422,
    errors.MediaError.code: 422,
    errors.ImageTooLarge.code: 422,
    errors.Unauthorized.code: 401,
    errors.Forbidden.code: 403,
    errors.NotFound.code: 404,
    errors.EndpointNotFound.code: 404,
    errors.RequestNotFound.code: 404,
    errors.FileNotFound.code: 404,
    errors.Conflict.code: 409,
    errors.NotFinished.code: 400,
    errors.AlreadyCompleted.code: 400,
    errors.Refused.code: 429,
    errors.QueueFull.code: 429,
    errors.OutOfBudget.code: 402,
    errors.RateLimited.code: 429,
    errors.TooManyConcurrent.code: 429,
    errors.StorageFull.code: 403,
    errors.DeadlineUnreachable.code: 504,
    errors.PayloadTooLarge.code: 413,
    errors.NoRunner.code: 503,
    errors.Unavailable.code: 503,
    errors.FetchError.code: 422,
    errors.AddressRefused.code: 422,
    errors.FetchTooLarge.code: 422,
    errors.FetchTimeout.code: 422,
    errors.WrongContentType.code: 422,
    errors.WeightsError.code: 500,
    errors.UnsafeWeights.code: 500,
    errors.UnreadableWeights.code: 500,
    errors.MissingWeights.code: 500,
    errors.ModelTooLarge.code: 500,
    errors.AdapterError.code: 422,
    errors.UnreadableAdapter.code: 422,
    errors.UnsupportedAdapter.code: 422,
    errors.AdapterMismatch.code: 422,
    errors.MissingAdapter.code: 422,
    errors.AdapterTooLarge.code: 422,
    errors.ExecutionError.code: 500,
    errors.SampleFailed.code: 500,
    errors.OutOfMemory.code: 500,
    errors.GenerationTimeout.code: 504,
    errors.StartTimeout.code: 504,
    errors.PoisonRequest.code: 503,
    errors.RequestCancelled.code: 499,
    errors.ConfigError.code: 500,
    LaternaError.code: 500,
    Misdirected.code: 421,
    BadRequest.code: 400,
    TooSlow.code: 408,
    MethodNotAllowed.code: 405,
}
DETAILED = {  # codes that are told as a list of details: what a model says about its input or its work
    errors.MediaError.code,
    errors.ImageTooLarge.code,
    errors.FetchError.code,
    errors.AddressRefused.code,
    errors.FetchTooLarge.code,
    errors.FetchTimeout.code,
    errors.WrongContentType.code,
    errors.UnreadableAdapter.code,
    errors.UnsupportedAdapter.code,
    errors.AdapterMismatch.code,
    errors.MissingAdapter.code,
    errors.AdapterTooLarge.code,
    errors.GenerationTimeout.code,
}
MARKERS = {  # fal's documented bodies for two of them
    errors.RequestNotFound.code: "NOT_FOUND",
    errors.AlreadyCompleted.code: "ALREADY_COMPLETED",
}
TEXTS = {errors.NotFinished.code: "Request is still in progress"}
USER_TIMEOUTS = {errors.StartTimeout.code, errors.DeadlineUnreachable.code}
AGAIN_SECONDS = {429: 5, 503: 5}  # status -> after which another try may go better


def retry_headers(status: int) -> dict[str, str]:
    """When clients of OpenAI and Replicate should ask again; fal's have a rule of their own and are told nothing."""
    return {"Retry-After": str(AGAIN_SECONDS[status])} if status in AGAIN_SECONDS else {}


def error_response(error: LaternaError) -> Response:
    """The answer to a request that raised this."""
    problems = error.problems if isinstance(error, InvalidInput) else ()
    return told(error.code, error.message, problems)


def told(code: str, message: str, problems: tuple[Problem, ...] = ()) -> Response:
    """The answer for a code, as it was raised now or stored with a request that failed."""
    headers = {"X-Fal-Error-Type": code}
    if code in USER_TIMEOUTS:
        headers["X-Fal-Request-Timeout-Type"] = "user"
    if code == errors.Unauthorized.code:
        headers["WWW-Authenticate"] = "Key"
    return JSONResponse(error_body(code, message, problems), STATUS.get(code, 500), headers)


def error_body(code: str, message: str, problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """fal's body for an error: details where there are problems with fields, else a text and a type."""
    if problems or code in DETAILED:
        listed = problems or (Problem(loc=("body",), msg=message, type=code),)
        return {"detail": [_detail(problem) for problem in listed], "message": message}
    body = {"detail": TEXTS.get(code, message), "error_type": code, "message": message}
    return {"status": MARKERS[code], **body} if code in MARKERS else body


def _detail(problem: Problem) -> dict[str, Any]:
    detail: dict[str, Any] = {"loc": list(problem.loc), "msg": problem.msg, "type": problem.type}
    if problem.input is not None:
        detail["input"] = problem.input
    if problem.ctx is not None:
        detail["ctx"] = problem.ctx
    return detail
