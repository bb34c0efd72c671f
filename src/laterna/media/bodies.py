"""The body of a fetched response: its declared type and size, and its bytes, decompressed and counted as they come."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpcore2

from laterna.errors import FetchError, FetchTooLarge, WrongContentType

PIECE = 1 << 20  # bytes that a decompressor may produce at once
UNKNOWN = "application/octet-stream"


def header(response: httpcore2.Response, name: bytes) -> str | None:
    """The first header of that (lower-case) name, or None."""
    return next((value.decode("utf-8", "replace") for key, value in response.headers if key.lower() == name), None)


def content_type(response: httpcore2.Response, accepted: tuple[str, ...] | None, source: object) -> str:
    """The media type in lower case without parameters. Raises WrongContentType unless it is among `accepted`."""
    found = (header(response, b"content-type") or UNKNOWN).partition(";")[0].strip().lower()
    check_type(found, accepted, source)
    return found


def check_type(found: str, accepted: tuple[str, ...] | None, source: object) -> None:
    """Raise WrongContentType unless the type is among `accepted`; None accepts all."""
    if accepted is not None and found not in accepted:
        raise WrongContentType(f"{source} is served as {found!r}; expected one of {', '.join(accepted)}")


async def read(response: httpcore2.Response, *, limit_bytes: int, source: object) -> AsyncIterator[bytes]:
    """The decompressed body in pieces. Raises FetchTooLarge as soon as either form passes the limit."""
    declared = header(response, b"content-length") or ""
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(source, limit_bytes)
    decoder = _decoder(header(response, b"content-encoding"), source)
    arrived = produced = 0
    async for chunk in response.aiter_stream():
        arrived += len(chunk)
        for piece in decoder.decode(chunk):
            produced += len(piece)
            if produced > limit_bytes:
                raise _too_large(source, limit_bytes)
            yield piece
        if arrived > limit_bytes:
            raise _too_large(source, limit_bytes)
    decoder.finish()


class Identity:
    """No content encoding."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk

    def finish(self) -> None:
        """Nothing to check: the HTTP framing already has."""


class Gzip:
    """gzip, unpacked a bounded piece at a time so that a bomb is noticed before it has gone off."""

    def __init__(self, source: object) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        while piece := self._inflated(chunk):
            yield piece
            chunk = self._inflate.unconsumed_tail
        if self._inflate.unused_data:
            raise FetchError(f"{self._source} has bytes after the end of its gzip stream")

    def _inflated(self, chunk: bytes) -> bytes:
        try:
            return self._inflate.decompress(chunk, PIECE)
        except zlib.error as error:
            raise FetchError(f"{self._source} is not valid gzip: {error}") from error

    def finish(self) -> None:
        if not self._inflate.eof:
            raise FetchError(f"{self._source} ends in the middle of its gzip stream")


def _decoder(encoding: str | None, source: object) -> Identity | Gzip:
    name = (encoding or "identity").strip().lower()
    if name in ("identity", ""):
        return Identity()
    if name in ("gzip", "x-gzip"):
        return Gzip(source)
    raise FetchError(f"{source} is encoded as {name!r}; serve it plain or as gzip")


def _too_large(source: object, limit_bytes: int) -> FetchTooLarge:
    return FetchTooLarge(f"{source} is larger than the limit of {limit_bytes} bytes")
