"""What Replicate's clients say about a prediction: its input, and how it is to be treated, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from laterna.api.asked import Asked, read_asked, webhook
from laterna.contracts.problems import echo
from laterna.errors import InvalidInput, Problem

EVENTS = ("start", "output", "logs", "completed")
LONGEST_WAIT = 60  # seconds that an answer may be held back
SHORTEST_LIFE = 5  # seconds; below that Replicate refuses
_WAIT = re.compile(r"wait(?:=([0-9]{1,3}))?", re.ASCII)
_SPAN = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s?)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PredictionAsked:
    """One prediction that is asked for."""

    input: dict[str, Any]  # in the endpoint's own words, not validated yet
    version: str | None  # absent: the address names the model
    wait_s: int  # seconds until it is answered though not done; 0: at once
    asked: Asked


def read_prediction(request: Request, body: object) -> PredictionAsked:
    """What body and headers say. Raises InvalidInput naming what is wrong."""
    if not isinstance(body, dict):
        raise _wrong("", "the body should be a JSON object with an input", body)
    given, version = body.get("input", {}), body.get("version")
    if not isinstance(given, dict):
        raise _wrong("input", "expected an object: the model's input", given)
    if version is not None and not isinstance(version, str):
        raise _wrong("version", "expected the id of a version, or owner/name", version)
    return PredictionAsked(
        input=given,
        version=version,
        wait_s=wait_seconds(request.headers.get("prefer", "")),
        asked=replace(
            read_asked(request),
            webhook_url=_webhook(body),
            cancel_within_s=life_seconds(request.headers.get("cancel-after")),
        ),
    )


def wait_seconds(prefer: str) -> int:
    """Of a `Prefer` header, whose other preferences mean nothing here."""
    for preference in prefer.split(","):
        match = _WAIT.fullmatch(preference.strip().lower())
        if match is not None:
            return min(LONGEST_WAIT, max(1, int(match[1] or LONGEST_WAIT)))
    return 0


def life_seconds(text: str | None) -> int | None:
    """Of a `Cancel-After` header: seconds, or hours, minutes and seconds such as `1h30m45s`; None without one."""
    if text is None:
        return None
    match = _SPAN.fullmatch(text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < SHORTEST_LIFE:
        why = f"expected at least {SHORTEST_LIFE} seconds, such as 90, 30s or 1h30m"
        raise InvalidInput(Problem(loc=("header", "cancel-after"), msg=why, type="value_error", input=text[:100]))
    return total


def _webhook(body: dict[str, Any]) -> str | None:
    """Who is told of the end; None where nobody is, or where only other events are wanted, which are not told."""
    events = body.get("webhook_events_filter")
    if events is not None and (not isinstance(events, list) or any(event not in EVENTS for event in events)):
        raise _wrong("webhook_events_filter", f"expected a list of {', '.join(EVENTS)}", events)
    url = body.get("webhook") or body.get("webhook_completed")
    if url is not None and not isinstance(url, str):
        raise _wrong("webhook", "expected a URL", url)
    found = webhook(url, "body", "webhook")
    return found if events is None or "completed" in events else None


def _wrong(name: str, why: str, value: object) -> InvalidInput:
    return InvalidInput(
        Problem(loc=("body", name) if name else ("body",), msg=why, type="value_error", input=echo(value))
    )
