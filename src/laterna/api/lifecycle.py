"""How long files live and who may read them, as fal's lifecycle headers say it; and as text in an upload's address."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.datastructures import Headers

from laterna.errors import InvalidInput, Problem
from laterna.requests.access import Access, read, stored

REQUEST = "x-fal-object-lifecycle-preference"
UPLOAD = "x-fal-object-lifecycle"
LONGEST_SECONDS = 10 * 365 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Of the files of one request, or of one upload."""

    keep_seconds: int | None = None  # absent: as long as the server keeps files
    access: Access | None = None  # absent: whoever has the address may read

    @classmethod
    def asked(cls, headers: Headers) -> Lifecycle:
        """By either header. Raises InvalidInput naming what cannot be read."""
        name = UPLOAD if headers.get(UPLOAD, "").strip() else REQUEST
        said = json_object(name, headers.get(name))
        return cls(keep_seconds=_seconds(said.get("expiration_duration_seconds")), access=_access(said))

    def address(self) -> str:
        """For an upload's address, in letters that a path and a query take; empty where nothing is said."""
        if self == Lifecycle():
            return ""
        text = msgspec.json.encode([self.keep_seconds, stored(self.access)])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def of_address(cls, text: str) -> Lifecycle:
        """Raises InvalidInput for what `address` did not make."""
        if not text:
            return cls()
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            seconds, access = msgspec.json.decode(plain, type=tuple[int | None, str | None])
            return cls(keep_seconds=_seconds(seconds), access=None if access is None else read(access))
        except (ValueError, msgspec.DecodeError) as error:
            raise wrong("upload address", "use the address as it was given", text) from error


def json_object(name: str, text: str | None) -> dict[str, Any]:
    """The JSON object of a header; empty where there is none. Raises InvalidInput."""
    if text is None or not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise wrong(name, "expected a JSON object", text) from error
    if not isinstance(value, dict):
        raise wrong(name, "expected a JSON object", text)
    return value


def wrong(name: str, why: str, value: str) -> InvalidInput:
    return InvalidInput(Problem(loc=("header", name), msg=why, type="value_error", input=value[:100]))


def _seconds(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LONGEST_SECONDS:
        where = "expiration_duration_seconds"
        raise wrong(where, f"expected seconds, from 1 to {LONGEST_SECONDS:.0f}", str(value))
    return round(value)


def _access(said: dict[str, Any]) -> Access | None:
    given = said.get("initial_acl")
    if given is None:
        return None
    try:
        return msgspec.convert(given, Access)
    except (msgspec.ValidationError, ValueError) as error:
        why = 'expected {"default": allow, forbid or hide, "rules": [{"user", "decision"}]}'
        raise wrong("initial_acl", f"{why}: {error}", str(given)) from error
