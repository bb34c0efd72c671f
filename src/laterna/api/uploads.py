"""Files that clients send: in one piece or in parts, with a key, an upload token, or an address that carries one.

All of fal's ways lead here: Python's token and raw upload, its parts above 100 MiB, the older initiate and PUT, and the
JavaScript client's. Every address that is handed out is this server's, because Python sends its key along with a PUT.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.bodies import body_chunks, read_body, read_json
from laterna.api.callers import UPLOAD_PURPOSE, caller_of, holder_of, upload_token, uploader_of
from laterna.api.hosts import origin_of
from laterna.api.incoming import Incoming, safe_name
from laterna.api.lifecycle import Lifecycle
from laterna.api.services import Services
from laterna.errors import Conflict, FileNotFound, InvalidInput, Problem
from laterna.media.objects import new_key
from laterna.media.parts import Part, Parts
from laterna.media.sniff import HEAD_BYTES, sniff
from laterna.tenants.caller import Caller

TOKEN_SECONDS = 3600
LARGEST_PART = 128 * 2**20  # bytes; clients send parts of 10 MiB
SMALL_BODY = 10 * 2**20  # bytes of a list of parts, at most


class Uploads:
    """`/rest/storage/...` hands out tokens and addresses, `/cdn/files/...` takes the bytes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._parts = Parts(services.media)
        self._incoming = Incoming(services)
        self._limit = self._incoming.limit
        self._busy: set[str] = set()  # keys that are being written now

    def routes(self) -> list[Route]:
        parts = "/cdn/files/{key}/{name}/multipart/{upload}"
        return [
            Route("/rest/storage/auth/token", self.token, methods=["POST"]),
            Route("/rest/storage/upload/initiate", self.initiate, methods=["POST"]),
            Route("/rest/storage/upload/initiate-multipart", self.initiate_parts, methods=["POST"]),
            Route("/cdn/files/upload", self.upload, methods=["POST"]),
            Route("/cdn/files/upload/multipart", self.begin_parts, methods=["POST"]),
            Route("/cdn/files/{key}/{name}", self.put, methods=["PUT"]),
            Route(f"{parts}/complete", self.complete, methods=["POST"]),
            Route(f"{parts}/{{number:int}}", self.put_part, methods=["PUT"]),
        ]

    async def token(self, request: Request) -> Response:
        """A token for uploads, and where they go."""
        caller = await caller_of(request, self._services)
        expires = datetime.fromtimestamp(self._services.clock.now_us() / 1e6 + TOKEN_SECONDS, UTC)
        body = {
            "token": self._services.tokens.mint(caller, UPLOAD_PURPOSE, TOKEN_SECONDS),
            "token_type": "Bearer",
            "base_url": origin_of(request).cdn,
            "expires_at": expires.isoformat(),
        }
        return JSONResponse(body)

    async def initiate(self, request: Request) -> Response:
        """An address to PUT a file to, and the one to read it from."""
        caller = await caller_of(request, self._services)
        key, name, file_url = await self._address(request)
        token = upload_token(self._services, caller, key, TOKEN_SECONDS)
        kept = Lifecycle.asked(request.headers).address()
        upload_url = f"{file_url}?upload_token={token}" + (f"&lifecycle={kept}" if kept else "")
        return JSONResponse({"upload_url": upload_url, "file_url": file_url, "file_name": name})

    async def initiate_parts(self, request: Request) -> Response:
        """The same for a file in parts: their addresses are below the one handed out."""
        caller = await caller_of(request, self._services)
        key, name, file_url = await self._address(request)
        upload_url = f"{file_url}/multipart/{self._upload_id(request, caller, key)}"
        return JSONResponse({"upload_url": upload_url, "file_url": file_url, "file_name": name})

    async def upload(self, request: Request) -> Response:
        """A whole file as the body."""
        caller = await uploader_of(request, self._services)
        key, name = new_key(), safe_name(request.headers.get("x-fal-file-name"), request.headers.get("content-type"))
        await self._keep(request, caller, key, name, Lifecycle.asked(request.headers))
        return JSONResponse({"access_url": _url(request, key, name)})

    async def begin_parts(self, request: Request) -> Response:
        """A file in parts, for who has a token already."""
        caller = await uploader_of(request, self._services)
        key, name = new_key(), safe_name(request.headers.get("x-fal-file-name"), request.headers.get("content-type"))
        upload = self._upload_id(request, caller, key)
        return JSONResponse({"access_url": _url(request, key, name), "uploadId": upload})

    async def put(self, request: Request) -> Response:
        """The file of an address that `initiate` handed out."""
        key, name = request.path_params["key"], request.path_params["name"]
        caller = await holder_of(self._services, request.query_params.get("upload_token", ""), key)
        with self._writing(key):
            if await self._exists(key):
                raise Conflict("this address was used before; ask for a new one")
            await self._keep(
                request, caller, key, name, Lifecycle.of_address(request.query_params.get("lifecycle", ""))
            )
        return JSONResponse({"file_url": _url(request, key, name)})

    async def put_part(self, request: Request) -> Response:
        """One part; both clients' ways of reading its etag are served."""
        key, number = request.path_params["key"], request.path_params["number"]
        caller, _ = await self._holder(request)
        room = await self._incoming.room(caller)
        data = await read_body(request, min(LARGEST_PART, self._limit))
        if await self._parts.size(key) + len(data) > room:
            await self._parts.abort(key)
            raise self._incoming.too_large(room)
        etag = await self._parts.put(key, number, data)
        return JSONResponse({"partNumber": number, "etag": etag}, headers={"etag": f'"{etag}"'})

    async def complete(self, request: Request) -> Response:
        """Join the parts, which come in any order."""
        key, name = request.path_params["key"], request.path_params["name"]
        caller, kept = await self._holder(request)
        listed = _listed(await read_json(request, SMALL_BODY))
        with self._writing(key):
            if not await self._exists(key):  # a client that did not hear of its success asks again
                size = await self._parts.complete(key, listed, limit_bytes=self._limit)
                head = await self._services.media.stream(key, stop=min(size, HEAD_BYTES))
                kind = sniff(b"".join([chunk async for chunk in head.chunks]))
                await self._incoming.record(caller, key, name, kind, size, None, kept)
        return JSONResponse({"access_url": _url(request, key, name), "file_url": _url(request, key, name)})

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        """Nobody else writes the file meanwhile. Raises Conflict where somebody does."""
        if key in self._busy:
            raise Conflict("this address is in use by another request; ask for one of your own")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)

    async def _exists(self, key: str) -> bool:
        try:
            await self._services.files.get(key)
        except FileNotFound:
            return False
        return True

    async def _keep(self, request: Request, caller: Caller, key: str, name: str, kept: Lifecycle) -> None:
        await self._incoming.keep(caller, key, name, body_chunks(request, self._limit), kept)

    async def _address(self, request: Request) -> tuple[str, str, str]:
        """A new file's key, name and address, for the name and type in the body."""
        body = await read_json(request, SMALL_BODY)
        said = body if isinstance(body, dict) else {}
        key, name = new_key(), safe_name(said.get("file_name"), said.get("content_type"))
        return key, name, _url(request, key, name)

    def _upload_id(self, request: Request, caller: Caller, key: str) -> str:
        """What stands for an upload in parts: the file's lifecycle, and the right to write it."""
        kept = Lifecycle.asked(request.headers).address()
        return f"{kept}~{upload_token(self._services, caller, key, 24 * TOKEN_SECONDS)}"

    async def _holder(self, request: Request) -> tuple[Caller, Lifecycle]:
        kept, _, token = request.path_params["upload"].partition("~")
        return await holder_of(self._services, token, request.path_params["key"]), Lifecycle.of_address(kept)


def _url(request: Request, key: str, name: str) -> str:
    return f"{origin_of(request).cdn}/files/{key}/{name}"


def _listed(body: object) -> list[Part]:
    """The parts that a completing client names."""
    parts = body.get("parts") if isinstance(body, dict) else None
    if not isinstance(parts, list):
        raise InvalidInput(Problem(loc=("body", "parts"), msg="expected a list of {partNumber, etag}"))
    return [_part(index, item) for index, item in enumerate(parts)]


def _part(index: int, item: object) -> Part:
    number, etag = (item.get("partNumber"), item.get("etag")) if isinstance(item, dict) else (None, None)
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(etag, str):
        raise InvalidInput(Problem(loc=("body", "parts", index), msg="expected {partNumber, etag}"))
    return Part(number=number, etag=etag)
