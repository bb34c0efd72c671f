"""Files by their capability: whoever has the address may read unless its owner said otherwise, and what is read can
run nothing.

Plain pictures, films and sounds may be shown where they are; everything else is a download. Ranges, so that films seek.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from laterna.api.callers import reader_of, uploader_of
from laterna.api.services import Services
from laterna.errors import Forbidden, Unauthorized
from laterna.media.objects import is_key
from laterna.media.sniff import is_plain_media
from laterna.requests.files import FileRecord, missing
from laterna.tenants.caller import READ

POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
LASTS = "private, max-age=3600"  # an address may be revoked; a cache may not know for an hour
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Bytes `start` to `stop` (exclusive) of a file."""

    start: int
    stop: int


class Downloads:
    """`/cdn/files/{key}` with or without the file's name."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("/cdn/files/{key}", self.download, methods=["GET", "HEAD"]),
            Route("/cdn/files/{key}/{name}", self.download, methods=["GET", "HEAD"]),
        ]

    async def download(self, request: Request) -> Response:
        """The file, whole or in part."""
        file = await self._find(request)
        signed = self._services.media.signed_url(file.key) if self._services.settings.direct else None
        if signed is not None and file.request_id is not None:
            return RedirectResponse(
                signed, 307, headers={"cache-control": "no-store", "referrer-policy": "no-referrer"}
            )
        headers = _headers(file)
        if request.headers.get("if-none-match") in (headers["etag"], "*"):
            return Response(status_code=304, headers=headers)
        span, status = Span(start=0, stop=file.size_bytes), 200
        if "range" in request.headers and request.headers.get("if-range") in (None, headers["etag"]):
            try:
                part = parse_range(request.headers["range"], file.size_bytes)
            except ValueError:
                return Response(status_code=416, headers={**headers, "content-range": f"bytes */{file.size_bytes}"})
            if part is not None:
                span, status = part, 206
                headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{file.size_bytes}"
        headers["content-length"] = str(span.stop - span.start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(await self._bytes(file, span), status, headers)

    async def _find(self, request: Request) -> FileRecord:
        key = request.path_params["key"]
        if not is_key(key):
            raise missing()
        file = await self._services.files.get(key)
        decision = file.decide(None if file.open else await self._reader(request, key))
        if decision == "hide":
            raise missing()
        if decision == "forbid":
            raise Forbidden("the owner of this file lets only some read it: send a key of theirs in Authorization")
        return file

    async def _reader(self, request: Request, key: str) -> str | None:
        """The tenant whose key, upload token or token for this file came along; None without a good one."""
        try:
            if "token" in request.query_params and "authorization" not in request.headers:
                return (await reader_of(self._services, request.query_params["token"], key)).tenant
            return (await uploader_of(request, self._services, scope=READ)).tenant
        except (Unauthorized, Forbidden):
            return None

    async def _bytes(self, file: FileRecord, span: Span) -> AsyncIterator[bytes]:
        return (await self._services.media.stream(file.key, start=span.start, stop=span.stop)).chunks


def parse_range(text: str, size: int) -> Span | None:
    """The bytes that a Range header asks for; None for what is not understood, which means the whole.

    Raises ValueError for a range that lies outside the file.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    first, last = match[1], match[2]
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise ValueError(f"bytes {text} of {size}")
    return Span(start=start, stop=stop)


def disposition(content_type: str, name: str) -> str:
    """How a browser is to treat the file: shown only where it can run nothing."""
    kind = "inline" if is_plain_media(content_type) else "attachment"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100] or "file"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:100], safe='')}"


def _headers(file: FileRecord) -> dict[str, str]:
    return {
        "content-type": file.content_type,
        "content-disposition": disposition(file.content_type, file.file_name),
        "content-security-policy": POLICY,
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "accept-ranges": "bytes",
        "cache-control": LASTS,
        "etag": f'"{file.sha256 or file.key}"',
    }
