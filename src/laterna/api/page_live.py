"""The page's one WebSocket: what changes in the tenant's requests and, for the operator, on the devices.

The first message is the token of `/api/page/token`; each later one says what is watched: `{"watch": ["requests"]}`.
Every second that something of it differs is told once, as `{"topic": ..., "body": ...}`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from laterna.api.page_bodies import device_body, queue_body, recent_body, request_body
from laterna.api.page_callers import live_caller
from laterna.api.services import Services
from laterna.errors import Forbidden, LaternaError, Unauthorized
from laterna.requests.requests import Filter, RequestView
from laterna.store.states import LEASED, RUNNING
from laterna.tenants.caller import Caller

REFUSED = 4401  # closing code: no good token, or its key has ended
PERIOD_SECONDS = 1.0
HELLO_SECONDS = 10.0  # for the first message
LARGEST_MESSAGE = 4096  # characters
NEWEST = 30  # requests that are told of
IN_HAND = 50  # requests that are told of because workers have them
WINDOW_SECONDS = 3600.0  # of an operator's figures


Said = TypeVar("Said")


class _Hello(msgspec.Struct, frozen=True):
    token: str


class _Watch(msgspec.Struct, frozen=True):
    watch: list[str]  # topics; those that are none are nobody's


class PageLive:
    """`/api/page/live`"""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._topics: dict[str, Callable[[Caller], Awaitable[dict[str, Any]]]] = {
            "requests": self._requests,
            "operator": self._operator,
        }

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/api/page/live", self.live)]

    async def live(self, socket: WebSocket) -> None:
        """Tell until the page goes or its key ends."""
        await socket.accept()
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await _said(socket, _Hello)
            await self._serve(socket, await live_caller(self._services, hello.token))
        except (Unauthorized, msgspec.DecodeError, TimeoutError):
            await socket.close(REFUSED)
        except LaternaError as error:
            await socket.close(1011, error.message[:120])
        except WebSocketDisconnect:
            pass

    async def _serve(self, socket: WebSocket, caller: Caller) -> None:
        """Hear what is watched, and tell it, until one of the two ends."""
        watched: set[str] = set()
        woken = asyncio.Event()
        hearing = asyncio.ensure_future(self._hear(socket, watched, woken))
        telling = asyncio.ensure_future(self._tell(socket, caller, watched, woken))
        try:
            done, _ = await asyncio.wait({hearing, telling}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (hearing, telling):
                task.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)

    async def _hear(self, socket: WebSocket, watched: set[str], woken: asyncio.Event) -> None:
        while True:
            said = await _said(socket, _Watch)
            watched.clear()
            watched.update(topic for topic in said.watch if topic in self._topics)
            woken.set()

    async def _tell(self, socket: WebSocket, caller: Caller, watched: set[str], woken: asyncio.Event) -> None:
        told: dict[str, bytes] = {}
        while True:
            await self._services.keys.check(caller.key_id)
            for topic in sorted(watched):
                body = msgspec.json.encode({"topic": topic, "body": await self._body(topic, caller)})
                if told.get(topic) != body:
                    told[topic] = body
                    await socket.send_text(body.decode())
            woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await woken.wait()

    async def _body(self, topic: str, caller: Caller) -> dict[str, Any]:
        try:
            return await self._topics[topic](caller)
        except Forbidden as error:
            return {"error": {"type": error.code, "message": error.message}}

    async def _requests(self, caller: Caller) -> dict[str, Any]:
        """The newest, and those in workers' hands, each as it stands."""
        requests = self._services.requests
        newest = await requests.page(caller.tenant, limit=NEWEST)
        in_hand = await requests.page(caller.tenant, limit=IN_HAND, which=Filter(states=(LEASED, RUNNING)))
        found = {view.request_id: view for view in (*newest.items, *in_hand.items)}
        return {"requests": [await self._standing(view) for view in found.values()]}

    async def _standing(self, view: RequestView) -> dict[str, Any]:
        services = self._services
        if view.settled:
            return request_body(view)
        placed = await services.requests.get(view.tenant, view.request_id)
        return request_body(placed, services.eta(placed), services.progress(view.request_id))

    async def _operator(self, caller: Caller) -> dict[str, Any]:
        """Devices, the queue, and how the last hour went."""
        caller.need_operator()
        services = self._services
        now_us = services.clock.now_us()
        ended = await services.requests.recent(now_us - round(WINDOW_SECONDS * 1e6))
        return {
            "devices": [device_body(device) for device in services.floor.devices()],
            "queue": queue_body(await services.requests.totals()),
            "recent": recent_body(ended),
            "problem": services.problem(),
        }


async def _said(socket: WebSocket, kind: type[Said]) -> Said:
    """The next message. Raises DecodeError for bytes and for text that is not of the kind."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text = message.get("text") or ""
    if len(text) > LARGEST_MESSAGE:
        raise msgspec.DecodeError("too long")
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deep") from error
