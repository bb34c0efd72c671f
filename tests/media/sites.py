"""A web server of few words: tests say byte by byte what it answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Site:
    host: str
    port: int = 0
    pages: dict[str, Handler] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  # heads of the requests, as they came
    bodies: list[bytes] = field(default_factory=list)
    open: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str, *, name: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://{name or self.host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            writer.transport.abort()  # the client has seen enough, or the test is over
        finally:
            self.open.discard(task)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        self.bodies.append(await reader.readexactly(int(lengths[0])) if lengths else b"")
        await self.pages.get(head.split(" ")[1], page(status="404 Not Found"))(writer)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def site(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    it = Site(host)
    server = await asyncio.start_server(it.serve, host, 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in it.open:
            task.cancel()
        await asyncio.gather(*it.open)


def page(body: bytes = b"", *, status: str = "200 OK", **headers: str) -> Handler:
    """Answer with these bytes; header names are written with underscores."""

    async def handler(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        if "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return handler


def redirect(location: str, status: str = "302 Found") -> Handler:
    return page(status=status, Location=location)


def stream(piece: bytes, times: int, pause_s: float = 0.0, **headers: str) -> Handler:
    """Answer without a length: pieces with pauses between them, then the end of the connection."""

    async def handler(writer: asyncio.StreamWriter) -> None:
        lines = ["HTTP/1.1 200 OK", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        for _ in range(times):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler
