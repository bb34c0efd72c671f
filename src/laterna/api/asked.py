"""What fal's clients say about a request beside its input: headers and query parameters, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from laterna.api.lifecycle import LONGEST_SECONDS, Lifecycle, json_object
from laterna.errors import AddressRefused, InvalidInput, Problem
from laterna.media.targets import parse as parse_url
from laterna.requests.submission import MOST_RETRIES, RETRY_CAUSES
from laterna.store.states import COMPLETED

PRIORITY = "x-fal-queue-priority"
PRIORITIES = {"realtime": 0, "normal": 1, "low": 2}
RETRY_CONFIG = "x-fal-retry-config"
MOST_TAGS = 10
LONGEST_TAG = 100  # characters of a name or a value
OWN_PARAMETERS = ("fal_webhook", "fal_max_queue_length", "fal_jwt_token")  # of the queue; not of the input


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a request is to be treated."""

    priority: int  # 0 realtime, 1 normal, 2 low
    start_within_s: float | None  # seconds until it must have begun; absent: it waits as long as it takes
    finish_within_s: float | None  # seconds until it must be done; absent: it takes as long as it takes
    cancel_within_s: float | None  # seconds after which it is cancelled, whatever it does; absent: never
    webhook_url: str | None  # absent: nobody is told
    webhook_events: tuple[str, ...] = (COMPLETED,)  # of `laterna.store.states`: what it is told of
    max_queue_length: int | None  # refuse it when more wait; absent: the server's own limit
    store_io: bool  # whether its input and output are kept for long
    lifecycle: Lifecycle  # how long its input and outputs are kept, and who may read the outputs
    retries: Mapping[str, int] | None  # by cause; absent: as usual
    once: bool  # whether it is never repeated
    runner_hint: str | None  # what it shares with others that should go to the same worker; absent: any will do
    tags: dict[str, str]
    idempotency_key: str | None  # absent: a repeated submit is a new request


def read_asked(request: HTTPConnection) -> Asked:
    """What this request's headers and query say. Raises InvalidInput naming what cannot be read."""
    headers, query = request.headers, request.query_params
    return Asked(
        priority=_priority(headers.get(PRIORITY, "normal")),
        start_within_s=_seconds(headers, "x-fal-request-timeout"),
        finish_within_s=_seconds(headers, "x-laterna-finish-within"),
        cancel_within_s=None,
        webhook_url=webhook(query.get("fal_webhook"), "query", "fal_webhook"),
        max_queue_length=_count(query.get("fal_max_queue_length")),
        store_io=headers.get("x-fal-store-io", "1").strip().lower() not in ("0", "false", "no"),
        lifecycle=Lifecycle.asked(headers),
        retries=_retries(headers.get("x-fal-retry-config")),
        once=truth(headers.get("x-fal-no-retry")),
        runner_hint=headers.get("x-fal-runner-hint", "").strip()[:200] or None,
        tags=_tags(headers.get("x-fal-tags", "")),
        idempotency_key=headers.get("idempotency-key", "").strip()[:200] or None,
    )


def query_input(request: Request) -> dict[str, Any]:
    """The input of a request that carries it in its query: texts, which the contract reads as what they should be."""
    return {name: value for name, value in request.query_params.items() if name not in OWN_PARAMETERS}


def truth(text: str | None) -> bool:
    """fal's clients write `true`, `false`, `1` and `0`."""
    return (text or "").strip().lower() in ("1", "true", "yes")


def _retries(text: str | None) -> Mapping[str, int] | None:
    """How often for each cause that is named: `{"timeout": {"retries": 0}}`."""
    found = {}
    for cause, said in json_object(RETRY_CONFIG, text).items():
        count = said.get("retries") if isinstance(said, dict) else None
        if cause not in RETRY_CAUSES:
            raise _wrong("header", RETRY_CONFIG, f"expected some of {', '.join(RETRY_CAUSES)}", cause)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_RETRIES:
            why = f'expected {{"retries": N}} for {cause}, N from 0 to {MOST_RETRIES}'
            raise _wrong("header", RETRY_CONFIG, why, str(said))
        found[cause] = count
    return found or None


def _priority(text: str) -> int:
    if text.strip().lower() not in PRIORITIES:
        raise _wrong("header", PRIORITY, "expected normal, low, or realtime where the key may", text)
    return PRIORITIES[text.strip().lower()]


def _seconds(headers: Headers, name: str) -> float | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_SECONDS:
        raise _wrong("header", name, "expected seconds above 0", text)
    return seconds


def webhook(text: str | None, where: str, name: str) -> str | None:
    """The URL to be told, where there is one. Raises InvalidInput naming the field for what is none."""
    if not text:
        return None
    try:
        parse_url(text)
    except AddressRefused as error:
        raise _wrong(where, name, error.message, text) from error
    return text


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise _wrong("query", "fal_max_queue_length", "expected a whole number, at least 0", text)
    return int(text)


def _tags(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    tags = {name.strip(): value.strip() for name, _, value in pairs}
    if len(tags) > MOST_TAGS or any(not name or len(name) > LONGEST_TAG for name in tags):
        raise _wrong("header", "x-fal-tags", f"expected at most {MOST_TAGS} of name=value", text)
    if any(len(value) > LONGEST_TAG for value in tags.values()):
        raise _wrong("header", "x-fal-tags", f"expected at most {LONGEST_TAG} characters in a value", text)
    return tags


def _wrong(where: str, name: str, why: str, value: str) -> InvalidInput:
    return InvalidInput(Problem(loc=(where, name), msg=why, type="value_error", input=value[:100]))
