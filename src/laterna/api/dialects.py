"""Whose shape an error is told in: the one place that knows which paths are OpenAI's; all others are fal's."""

from __future__ import annotations

from starlette.responses import Response

from laterna.api.errors import error_response
from laterna.api.openai_errors import openai_response
from laterna.errors import LaternaError

OPENAI = "/openai"


def refusal(path: str, error: LaternaError) -> Response:
    """The answer to a request for this path that raised this."""
    is_openai = path == OPENAI or path.startswith(f"{OPENAI}/")
    return openai_response(error) if is_openai else error_response(error)
