"""Replicate's API, files that are sent to be inputs: one form field, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import body_chunks
from laterna.api.callers import caller_of
from laterna.api.errors import BadRequest
from laterna.api.hosts import origin_of
from laterna.api.incoming import Incoming, safe_name
from laterna.api.lifecycle import Lifecycle
from laterna.api.replicate_views import BASE, moment
from laterna.api.services import Services
from laterna.errors import InvalidInput, Problem
from laterna.media.objects import new_key
from laterna.requests.files import FileRecord, missing
from laterna.tenants.caller import READ

FIELDS = 10  # of a form, at most
PIECE = 1 << 20  # bytes
PAGE = 100  # files


class ReplicateFiles:
    """`/replicate/v1/files`"""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._incoming = Incoming(services)

    def routes(self) -> list[Route]:
        return [
            Route(f"{BASE}/files", self.create, methods=["POST"]),
            Route(f"{BASE}/files", self.list, methods=["GET"]),
            Route(f"{BASE}/files/{{file}}", self.get, methods=["GET"]),
            Route(f"{BASE}/files/{{file}}", self.delete, methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """Keep the file of the form's field `content`. Its `metadata` is not kept."""
        caller = await caller_of(request, self._services)
        form = await _form(request, self._incoming.limit)
        try:
            sent = form.get("content")
            if not isinstance(sent, UploadFile):
                raise InvalidInput(
                    Problem(loc=("body", "content"), msg="expected a file in this field", type="missing")
                )
            name = safe_name(sent.filename, sent.content_type)
            kept = await self._incoming.keep(caller, new_key(), name, _pieces(sent), Lifecycle())
        finally:
            await form.close()
        return JSONResponse(_body(kept, origin_of(request).cdn), 201)

    async def list(self, request: Request) -> Response:
        """The tenant's files, newest first, generated ones too."""
        caller = await caller_of(request, self._services, scope=READ)
        page = await self._services.files.page(caller.tenant, request.query_params.get("cursor"), PAGE)
        origin, after = origin_of(request), None
        if page.cursor is not None:
            after = f"{origin.site}{BASE}/files?cursor={quote(page.cursor)}"
        results = [_body(file, origin.cdn) for file in page.items]
        return JSONResponse({"previous": None, "next": after, "results": results})

    async def get(self, request: Request) -> Response:
        """What is known of one."""
        caller = await caller_of(request, self._services, scope=READ)
        file = await self._services.files.get(request.path_params["file"])
        if file.tenant != caller.tenant:
            raise missing()
        return JSONResponse(_body(file, origin_of(request).cdn))

    async def delete(self, request: Request) -> Response:
        """Serve it no longer."""
        caller = await caller_of(request, self._services)
        await self._services.files.delete(caller.tenant, request.path_params["file"])
        return Response(status_code=204)


async def _form(request: Request, limit_bytes: int) -> FormData:
    """The body. Raises BadRequest for what is no form."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BadRequest("send the file as the field 'content' of a multipart/form-data body")
    parser = MultiPartParser(request.headers, body_chunks(request, limit_bytes), max_files=FIELDS, max_fields=FIELDS)
    try:
        return await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise BadRequest(f"the body is no readable form: {error}") from error


async def _pieces(sent: UploadFile) -> AsyncIterator[bytes]:
    while piece := await sent.read(PIECE):
        yield piece


def _body(file: FileRecord, cdn: str) -> dict[str, Any]:
    return {
        "id": file.key,
        "name": file.file_name,
        "content_type": file.content_type,
        "size": file.size_bytes,
        "etag": file.sha256 or file.key,
        "checksums": {} if file.sha256 is None else {"sha256": file.sha256},
        "metadata": {},
        "created_at": moment(file.created_us),
        "expires_at": moment(file.expires_us),
        "urls": {"get": f"{cdn}/files/{file.key}/{file.file_name}"},
    }
