"""What Replicate's clients say about a prediction: its input, and how it is to be treated, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from laterna.api.asked import Asked, read_asked, webhook
from laterna.contracts.problems import echo
from laterna.errors import InvalidInput, Problem
from laterna.store.states import COMPLETED, OUTPUT, WEBHOOK_EVENTS

BY_DEFAULT = (OUTPUT, COMPLETED)  # events, as Replicate documents it
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
    url, events = _webhook(body)
    return PredictionAsked(
        input=given,
        version=version,
        wait_s=wait_seconds(request.headers.get("prefer", "")),
        asked=replace(
            read_asked(request),
            webhook_url=url,
            webhook_events=events,
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


def _webhook(body: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Who is told, and of what; nobody where it is nothing. `webhook_completed` is told of the end alone."""
    url, events = body.get("webhook"), _events(body.get("webhook_events_filter"))
    if not url:
        url, events = body.get("webhook_completed"), (COMPLETED,)
    if url is not None and not isinstance(url, str):
        raise _wrong("webhook", "expected a URL", url)
    found = webhook(url, "body", "webhook")
    return (found, events) if events else (None, (COMPLETED,))


def _events(given: object) -> tuple[str, ...]:
    if given is None:
        return BY_DEFAULT
    if not isinstance(given, list) or any(event not in WEBHOOK_EVENTS for event in given):
        raise _wrong("webhook_events_filter", f"expected a list of {', '.join(WEBHOOK_EVENTS)}", given)
    return tuple(event for event in WEBHOOK_EVENTS if event in given)


def _wrong(name: str, why: str, value: object) -> InvalidInput:
    return InvalidInput(
        Problem(loc=("body", name) if name else ("body",), msg=why, type="value_error", input=echo(value))
    )
