"""Bytes inside a `data:` URI (RFC 2397), up to a limit."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from laterna.errors import FetchError, FetchTooLarge

# The type is `type/subtype`; parameters such as charset may follow.
_HEAD = re.compile(
    r"data:(?P<type>[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)?(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;base64)?", re.I
)


def is_data_uri(url: str) -> bool:
    return url[:5].lower() == "data:"


def decode_data_uri(uri: str, *, limit_bytes: int) -> tuple[str, bytes]:
    """Content type (lower case, "text/plain" when absent) and bytes. Raises FetchError, FetchTooLarge."""
    head, comma, body = uri[:256].partition(",")
    match = _HEAD.fullmatch(head)
    if not comma or match is None:
        raise FetchError("a data: URI must look like data:image/png;base64,AAAA")
    body = uri[len(head) + 1 :]
    # Four characters carry three bytes, and percent-encoding takes up to three characters a byte.
    if len(body) > limit_bytes * 4 + 4:
        raise FetchTooLarge(_too_large(limit_bytes))
    content = unquote_to_bytes(body)
    if match["base64"]:
        content = _unbase64(content)
    if len(content) > limit_bytes:
        raise FetchTooLarge(_too_large(limit_bytes))
    return (match["type"] or "text/plain").lower(), content


def _unbase64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise FetchError(f"the data: URI is not valid base64: {error}") from error


def _too_large(limit_bytes: int) -> str:
    return f"the data: URI holds more than {limit_bytes} bytes; upload the file and pass its URL"
