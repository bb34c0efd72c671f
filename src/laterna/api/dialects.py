"""Whose shape an error is told in: the one place that knows which paths are OpenAI's, Replicate's and the platform
API's; all others are fal's.
"""

from __future__ import annotations

import math

from starlette.responses import Response

from laterna import metrics
from laterna.api.errors import error_response
from laterna.api.openai_errors import openai_response
from laterna.api.platform_errors import refusal as platform_response
from laterna.api.replicate_errors import replicate_response
from laterna.errors import LaternaError, Refused

OPENAI = "/openai"
REPLICATE = "/replicate"
PLATFORM = "/platform"


def refusal(path: str, error: LaternaError) -> Response:
    """The answer to a request for this path that raised this."""
    metrics.REFUSALS.labels(error.code).inc()
    response = _told(path, error)
    if isinstance(error, Refused) and error.retry_after_s is not None:
        response.headers["retry-after"] = str(math.ceil(error.retry_after_s))
    return response


def _told(path: str, error: LaternaError) -> Response:
    if _below(OPENAI, path):
        return openai_response(error)
    if _below(REPLICATE, path):
        return replicate_response(path, error)
    if _below(PLATFORM, path):
        return platform_response(error)
    return error_response(error)


def _below(surface: str, path: str) -> bool:
    return path == surface or path.startswith(f"{surface}/")
