"""How messages travel over a byte stream: four bytes of length, then msgpack; both ends of a worker's socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Generic, TypeVar

import msgspec

from laterna.contracts.messages import FromWorker, ToWorker

LARGEST = 256 * 2**20  # bytes; a frame that says more is not ours
_LENGTH = struct.Struct("!I")
M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()


def pack(message: ToWorker | FromWorker) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Reader(Generic[M]):
    """Decodes frames into messages of one direction. Raises EOFError at the end of the stream."""

    def __init__(self, kind: type[M]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)

    def read(self, source: socket.socket) -> M:
        """Block for one message."""
        (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
        return self._decoder.decode(_exactly(source, _checked(length)))

    async def receive(self, source: asyncio.StreamReader) -> M:
        """Await one message."""
        try:
            (length,) = _LENGTH.unpack(await source.readexactly(_LENGTH.size))
            return self._decoder.decode(await source.readexactly(_checked(length)))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError("the stream ended") from error


def worker_reader() -> Reader[ToWorker]:
    return Reader(ToWorker)  # type: ignore[arg-type]


def server_reader() -> Reader[FromWorker]:
    return Reader(FromWorker)  # type: ignore[arg-type]


def _checked(length: int) -> int:
    if length > LARGEST:
        raise EOFError(f"a frame of {length} bytes is no message")
    return length


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = source.recv(min(count - len(parts), 1 << 20))
        except ConnectionError as error:
            raise EOFError("the stream ended") from error
        if not part:
            raise EOFError("the stream ended")
        parts += part
    return bytes(parts)
