"""Turns what pydantic found wrong with an input into `InvalidInput`: one problem per field, values shortened.

Refuses to echo what is long or deep: the answer to hostile input stays small.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from laterna.errors import InvalidInput, Problem

ECHOED = 200  # characters of an offending value that are repeated to its sender
REPORTED = 20  # problems named in one answer
TAGS = {"preset", "size"}  # of unions; the sender wrote no such key


def invalid(error: ValidationError, where: str = "body") -> InvalidInput:
    """The problems that pydantic found, at most `REPORTED` of them; `where` opens each location."""
    return InvalidInput(*(_problem(found, where) for found in error.errors(include_url=False)[:REPORTED]))


def _problem(found: ErrorDetails, where: str) -> Problem:
    limits = {key: echo(value) for key, value in found.get("ctx", {}).items() if key not in ("error", "class_name")}
    return Problem(
        loc=(where, *(part for part in found["loc"] if part not in TAGS)),
        msg="Input should be a JSON object" if found["type"] == "model_type" else found["msg"],
        type=found["type"],
        input=None if found["type"] == "missing" else echo(found["input"]),
        ctx=limits or None,
    )


def echo(value: object) -> object:
    """The value itself where it is short and flat, else its beginning as text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "a very large integer"
    text = value if isinstance(value, str) else repr(value) if _is_flat(value) else f"a nested {type(value).__name__}"
    shown = text.encode("utf-8", "replace").decode()[:ECHOED]
    return shown if len(text) <= ECHOED else f"{shown}… ({len(text)} characters)"


def _is_flat(value: object) -> bool:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return len(items) <= 8 and all(
        item is None or isinstance(item, bool | float) or (isinstance(item, int | str) and len(str(item)) <= ECHOED)
        for item in items
        if not isinstance(item, int) or abs(item) < 2**63
    )
