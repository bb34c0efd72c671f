"""fal's realtime: one connection, many requests, in msgpack. Each goes through the durable queue like any other.

A key that may ask for realtime priority has it here unless it says otherwise; any other is served at normal priority. A
connection works on one request at a time; what arrives meanwhile waits, and the oldest of it is dropped when more
waits than its client allows, or than one body may have. Neighbour: `realtime_frames`, which reads and writes frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from laterna.api.admission import Admitted, submit
from laterna.api.asked import PRIORITY, Asked, read_asked
from laterna.api.attended import attend_until
from laterna.api.callers import caller_of
from laterna.api.hosts import origin_of
from laterna.api.realtime_frames import failure, read_frame, result_frame, timings, told
from laterna.api.services import Services
from laterna.errors import InvalidInput, LaternaError, Problem
from laterna.requests.submission import REALTIME
from laterna.tenants.caller import Caller

IDLE_SECONDS = 60.0  # without anything to do, after which a connection is closed
MOST_WAITING = 60  # frames
DONE = 1000  # closing code: all is well
REFUSED = 1008  # closing code: the client broke a rule
PATH = "/realtime"


class FalRealtime:
    """`/{endpoint}/realtime`, and any other path of an endpoint."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/{endpoint:path}", self.connect)]

    async def connect(self, socket: WebSocket) -> None:
        """Serve a connection until its client goes or falls silent."""
        await socket.accept()
        with suppress(WebSocketDisconnect):
            try:
                connection = await self._open(socket)
            except LaternaError as error:
                await _close(socket, failure(error.code, error.message), REFUSED)
                return
            await connection.run()

    async def _open(self, socket: WebSocket) -> _Connection:
        name = socket.path_params["endpoint"].removesuffix(PATH)
        caller = await caller_of(socket, self._services, name)
        card, endpoint = self._services.catalog.endpoint(name)
        most, asked = _waiting(socket.query_params.get("max_buffering")), read_asked(socket)
        if caller.realtime and PRIORITY not in socket.headers:
            asked = replace(asked, priority=REALTIME)
        return _Connection(socket, self._services, caller, endpoint.id(card), asked, most)


class _Connection:
    """One client's."""

    def __init__(
        self, socket: WebSocket, services: Services, caller: Caller, endpoint: str, asked: Asked, most_waiting: int
    ) -> None:
        self._socket = socket
        self._services = services
        self._caller = caller
        self._endpoint = endpoint
        self._asked = replace(asked, idempotency_key=None)
        self._frames: deque[bytes | str] = deque(maxlen=most_waiting)  # a full one drops its oldest
        self._most_bytes = services.settings.body_mb * 1e6  # that wait
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        gone = asyncio.ensure_future(self._read())
        try:
            while not gone.done():
                if self._frames:
                    await self._serve(self._frames.popleft(), gone)
                elif not await self._more(gone):
                    await _close(self._socket, failure("TIMEOUT", "nothing was asked for a while"), DONE)
                    return
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _read(self) -> None:
        """Take in frames until the client goes."""
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            self._frames.append(message.get("bytes") or message.get("text") or "")
            while len(self._frames) > 1 and sum(map(len, self._frames)) > self._most_bytes:
                self._frames.popleft()
            self._arrived.set()

    async def _more(self, gone: asyncio.Future[None]) -> bool:
        """Wait for a frame, or until the client goes; False when neither happens for long."""
        self._arrived.clear()
        arrived = asyncio.ensure_future(self._arrived.wait())
        try:
            waits: set[asyncio.Future[Any]] = {arrived, gone}
            done, _ = await asyncio.wait(waits, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            arrived.cancel()

    async def _serve(self, frame: bytes | str, gone: asyncio.Future[None]) -> None:
        """One request; its error is told, and the connection goes on."""
        said: dict[str, Any] = {}
        try:
            await self._services.keys.check(self._caller.key_id)
            said = read_frame(frame)
            view = await attend_until(self._services, await self._submit(said), gone)
            if view is None:
                return
            if view.trouble is not None:
                await self._socket.send_text(told(said, failure(view.trouble.code, view.trouble.message)))
                return
            made = result_frame(said, view, self._services.catalog, origin_of(self._socket).cdn)
            await self._socket.send_text(told(said, timings(view)))
            await self._socket.send_bytes(made)
        except LaternaError as error:
            await self._socket.send_text(told(said, failure(error.code, error.message)))

    async def _submit(self, said: dict[str, Any]) -> Admitted:
        """What it makes is handed over, unless the client says that it wants it kept."""
        fields = self._services.catalog.endpoint(self._endpoint)[1].contract.input.model_fields
        raw = {"sync_mode": True, **said} if "sync_mode" in fields else said
        return await submit(
            self._socket, self._services, self._caller, self._endpoint, raw, dialect="fal", asked=self._asked
        )


async def _close(socket: WebSocket, why: dict[str, Any], code: int) -> None:
    await socket.send_text(told({}, why))
    await socket.close(code, why["error"])


def _waiting(text: str | None) -> int:
    """How many frames may wait."""
    if text is None:
        return MOST_WAITING
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_WAITING:
        why = f"expected 1 to {MOST_WAITING}"
        raise InvalidInput(Problem(loc=("query", "max_buffering"), msg=why, type="value_error", input=text[:40]))
    return int(text)
