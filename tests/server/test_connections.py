"""Clients that are slow on purpose, over real sockets: each loses its own connection and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from laterna.server import connections
from laterna.server.connections import HEAD_BYTES, Connection

GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
PIECE = b"x" * 65_536


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def refuse(request: Request) -> PlainTextResponse:
    return PlainTextResponse("no", 413)


async def endless(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield PIECE
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    routes = [
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/endless", endless),
        Route("/refuse", refuse, methods=["POST"]),
        WebSocketRoute("/talk", talk),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, http=Connection, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        await task


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One answer with a length: its status and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split(b" ")[1]), await reader.readexactly(int(length.split(b":")[1]))


async def drip(writer: asyncio.StreamWriter, content: bytes) -> None:
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def ends(reader: asyncio.StreamReader) -> None:
    """Read until the server has closed the connection, in whatever way."""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(20):
            while await reader.read(1 << 20):
                pass


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("sent", [b"", b"GET", GET[:-2], b"\r\n"])
async def test_a_head_that_does_not_end_is_not_waited_for(sent: bytes) -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(sent)
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


@pytest.mark.usefixtures("hasty")
async def test_a_head_that_drips_wins_no_time() -> None:
    async with serving() as port, client(port) as (reader, writer):
        dripping = asyncio.ensure_future(drip(writer, GET[:-4] + b"\r\nX-More: 1" * 1000))
        assert (await answer(reader))[0] == 408
        dripping.cancel()


@pytest.mark.usefixtures("hasty")
async def test_the_second_head_of_a_connection_is_not_waited_for_either() -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(GET)
        assert await answer(reader) == (200, b"0")
        writer.write(b"GET /ec")
        assert (await answer(reader))[0] == 408


@pytest.mark.parametrize(
    "head", [b"GET /echo?" + b"x" * 10**6, GET[:-2] + b"x-large: " + b"x" * 10**6, GET[:-2] + b"a: b\r\n" * 10**6]
)
async def test_a_head_without_an_end_is_not_kept(head: bytes) -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(head)
        await ends(reader)  # its answer, 431, is lost where more of the head is on its way


async def test_large_bodies_and_requests_in_a_row_are_no_heads() -> None:
    body = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (5 * HEAD_BYTES) + b"x" * 5 * HEAD_BYTES
    async with serving() as port, client(port) as (reader, writer):
        for _ in range(3):
            writer.write(body + GET + GET)
            assert [await answer(reader) for _ in range(3)] == [
                (200, b"%d" % (5 * HEAD_BYTES)),
                (200, b"0"),
                (200, b"0"),
            ]


@pytest.mark.usefixtures("hasty")
async def test_a_refused_body_that_drips_on_is_not_heard_for_ever() -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert await answer(reader) == (413, b"no")
        with pytest.raises(ConnectionError):
            await drip(writer, b"x" * 2000)


async def test_a_refused_body_may_end_and_the_connection_goes_on() -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        assert await answer(reader) == (413, b"no")
        writer.write(b"123456789" + GET)
        assert await answer(reader) == (200, b"0")


@pytest.mark.usefixtures("hasty")
async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving() as port, client(port) as (reader, writer):
        writer.write(GET.replace(b"echo", b"endless"))
        await reader.readexactly(1000)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        await ends(reader)


async def test_one_who_reads_slowly_but_reads_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 5.0)
    async with serving() as port, client(port) as (reader, writer):
        writer.write(GET.replace(b"echo", b"endless"))
        for _ in range(40):
            await reader.readexactly(200_000)
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("hasty")
async def test_a_websocket_lives_on() -> None:
    async with serving() as port, connect(f"ws://127.0.0.1:{port}/talk") as socket:
        await asyncio.sleep(0.5)
        await socket.send("still there?")
        assert await socket.recv() == "still there?"


async def test_more_connections_than_there_may_be_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 3)
    async with serving() as port, client(port) as first, client(port) as second:
        async with client(port) as third:
            for reader, writer in (first, second, third):
                writer.write(GET)
                assert await answer(reader) == (200, b"0")
            async with client(port) as (reader, _):
                await ends(reader)
        for _ in range(500):
            if await served(port):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nobody got in although one had gone")


async def served(port: int) -> bool:
    async with client(port) as (reader, writer):
        writer.write(GET)
        with suppress(ConnectionResetError):
            return await reader.read(12) == b"HTTP/1.1 200"
        return False
