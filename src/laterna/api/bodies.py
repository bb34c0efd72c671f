"""Reading what clients send: bodies up to a limit and not for ever, and JSON that is no trap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import ClientDisconnect, Request

from laterna.api.errors import BadRequest, TooSlow
from laterna.errors import PayloadTooLarge

DEEPEST = 64  # levels of JSON
PATIENCE_SECONDS = 60.0  # that a body may be waited for in all, and longer by
LEAST_RATE = 1000.0  # bytes a second of what has come
_decoder = msgspec.json.Decoder()


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises PayloadTooLarge as soon as it is known to be above the limit."""
    return b"".join([chunk async for chunk in body_chunks(request, limit_bytes)])


async def body_chunks(request: Request, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives.

    Raises PayloadTooLarge as soon as it is known to be above the limit, TooSlow where it does not come.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    size = 0
    try:
        async for chunk in _patiently(request):
            size += len(chunk)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            yield chunk
    except ClientDisconnect as error:
        raise BadRequest("the client went away before its body was complete") from error


async def _patiently(request: Request) -> AsyncGenerator[bytes, None]:
    """Its chunks. What counts is the time that they are waited for, not what their reader does with them."""
    stream, size, waited = request.stream(), 0, 0.0
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS + size / LEAST_RATE - waited):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            waited += time.monotonic() - began
            raise TooSlow(f"the body came too slowly: {size:,} bytes in {waited:.0f} s; send it again") from error
        if chunk is None:
            return
        waited += time.monotonic() - began
        size += len(chunk)
        yield chunk


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
