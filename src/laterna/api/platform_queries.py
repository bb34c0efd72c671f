"""Query parameters as the platform API takes them: lists, limits, moments, one of several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request

from laterna.errors import InvalidInput, Problem

MOST_LISTED = 50


def listed(request: Request, name: str) -> list[str]:
    """A parameter that may be repeated or comma-separated; its `[]` form as well."""
    given = request.query_params.getlist(name) + request.query_params.getlist(f"{name}[]")
    found = [item.strip() for text in given for item in text.split(",") if item.strip()]
    if len(found) > MOST_LISTED:
        raise wrong(name, f"at most {MOST_LISTED} of them", str(len(found)))
    return found


def limit_of(request: Request, usual: int, most: int) -> int:
    """How many are wanted."""
    text = request.query_params.get("limit", "")
    if not text:
        return usual
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise wrong("limit", f"expected 1 to {most}", text)
    return int(text)


def instant(request: Request, name: str, usual_us: int) -> int:
    """A moment in ISO 8601, UTC where it names no zone; UTC microseconds."""
    text = request.query_params.get(name, "")
    if not text:
        return usual_us
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
        return round(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1e6)
    except (ValueError, OverflowError) as error:
        raise wrong(name, "expected a moment such as 2026-01-31 or 2026-01-31T12:00:00Z", text) from error


def one_of(request: Request, name: str, known: Sequence[str]) -> str:
    """One of several; the first where none is named."""
    text = request.query_params.get(name) or known[0]
    if text not in known:
        raise wrong(name, f"expected {' or '.join(filter(None, known))}", text)
    return text


def wrong(name: str, why: str, value: str) -> InvalidInput:
    return InvalidInput(Problem(loc=("query", name), msg=why, type="value_error", input=value[:40]))
