"""Server-sent events: JSON objects or named events, comments while nothing happens, an end when the reader has gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0  # proxies and clients give up on silence


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event that has a name."""

    name: str
    data: str  # of one line or several
    id: str | None = None  # absent: it has none


Events = AsyncGenerator[dict[str, Any] | Event, None]


async def nothing_to_do() -> None:
    """When a reader goes whom nobody has to be told of."""


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone. The request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream:
    """A response of events, as an ASGI application. The events' generator is always closed."""

    def __init__(
        self,
        events: Events,
        headers: Mapping[str, str] | None = None,
        when_gone: Callable[[], Awaitable[None]] = nothing_to_do,
    ) -> None:
        """
        Args:
            when_gone: called when the reader went before the end; not when the server stops.
        """
        self._events = events
        self._headers = {"content-type": "text/event-stream", "x-accel-buffering": "no", **(headers or {})}
        self._when_gone = when_gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            if await self._send_all(gone, send):
                await send({"type": "http.response.body", "body": b""})
        finally:
            left = gone.done()
            await _stop(gone)
            await self._events.aclose()
        if left:
            await self._when_gone()

    async def _send_all(self, gone: asyncio.Future[None], send: Send) -> bool:
        """Send events until the last; False when the reader went before."""
        while True:
            following = asyncio.ensure_future(self._following())
            try:
                while not following.done():
                    waits: set[asyncio.Future[Any]] = {following, gone}
                    await asyncio.wait(waits, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        return False
                    if not following.done():
                        await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
            finally:
                await _stop(following)
            event = following.result()
            if event is None:
                return True
            await send({"type": "http.response.body", "body": _wire(event), "more_body": True})

    async def _following(self) -> dict[str, Any] | Event | None:
        """The next event; None after the last."""
        return await anext(self._events, None)


def _wire(event: dict[str, Any] | Event) -> bytes:
    if isinstance(event, dict):
        return b"data: " + msgspec.json.encode(event) + b"\n\n"
    head = [f"event: {event.name}"] if event.id is None else [f"event: {event.name}", f"id: {event.id}"]
    return "\n".join([*head, *(f"data: {line}" for line in event.data.splitlines() or [""]), "\n"]).encode()


async def _stop(task: asyncio.Future[Any]) -> None:
    """End a task that is not done; what it was doing does not matter any more."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
