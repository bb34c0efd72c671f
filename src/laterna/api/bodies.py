"""Reading what clients send: bodies up to a limit, and JSON that is no trap."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import ClientDisconnect, Request

from laterna.api.errors import BadRequest
from laterna.errors import PayloadTooLarge

DEEPEST = 64  # levels of JSON
_decoder = msgspec.json.Decoder()


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises PayloadTooLarge as soon as it is known to be above the limit."""
    return b"".join([chunk async for chunk in body_chunks(request, limit_bytes)])


async def body_chunks(request: Request, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives. Raises PayloadTooLarge as soon as it is known to be above the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            yield chunk
    except ClientDisconnect as error:
        raise BadRequest("the client went away before its body was complete") from error


async def read_json(request: Request, limit_bytes: int) -> object:
    """The JSON value of the body, whatever its content type says; an empty body is an empty object.

    Raises BadRequest for what is no JSON or nested too deep, PayloadTooLarge for a body above the limit.
    """
    return parse_json(await read_body(request, limit_bytes))


def parse_json(body: bytes) -> object:
    if not body.strip():
        return {}
    try:
        value: object = _decoder.decode(body)
    except RecursionError as error:
        raise BadRequest(f"the body is JSON nested deeper than {DEEPEST} levels") from error
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if deeper(value, DEEPEST):
        raise BadRequest(f"the body is JSON nested deeper than {DEEPEST} levels")
    return value


def deeper(value: object, levels: int) -> bool:
    """Whether a value is nested deeper than so many levels."""
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for inner in layer
            if isinstance(inner, dict | list)
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than the limit of {limit_bytes:,} bytes (settings body_mb, upload_mb)")
