"""A proxy of SOCKS 4, 4a and 5 (RFC 1928, RFC 1929) for one user, which leads nowhere and says that it did."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

OK4, NO4 = b"\x00\x5a" + bytes(6), b"\x00\x5b" + bytes(6)


@asynccontextmanager
async def socks(user: str, password: str) -> AsyncIterator[tuple[int, list[str]]]:
    """Its port, and the `host:port` that it was asked for. What comes after is sent back behind `beyond:`."""
    asked: list[str] = []

    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        version = (await reader.readexactly(1))[0]
        found = await (_five(reader, writer, user, password) if version == 5 else _four(reader, writer, user))
        if found is not None:
            asked.append(found)
            writer.write(b"beyond:" + await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()


async def _five(reader: StreamReader, writer: StreamWriter, user: str, password: str) -> str | None:
    if b"\x02" not in await _counted(reader):
        writer.write(b"\x05\xff")
        return None
    writer.write(b"\x05\x02")
    await reader.readexactly(1)
    good = [await _counted(reader), await _counted(reader)] == [user.encode(), password.encode()]
    writer.write(b"\x01\x00" if good else b"\x01\x01")
    if not good:
        return None
    kind = (await reader.readexactly(4))[3]
    host = (await _counted(reader)).decode() if kind == 3 else str(ip_address(await reader.readexactly(4)))
    port = int.from_bytes(await reader.readexactly(2))
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    return f"{host}:{port}"


async def _four(reader: StreamReader, writer: StreamWriter, user: str) -> str | None:
    head = await reader.readexactly(7)
    port, address = int.from_bytes(head[1:3]), head[3:]
    good = await _ended(reader) == user.encode()
    host = (await _ended(reader)).decode() if address[:3] == bytes(3) else str(ip_address(address))
    writer.write(OK4 if good else NO4)
    return f"{host}:{port}" if good else None


async def _counted(reader: StreamReader) -> bytes:
    return await reader.readexactly((await reader.readexactly(1))[0])


async def _ended(reader: StreamReader) -> bytes:
    return (await reader.readuntil(b"\0"))[:-1]
