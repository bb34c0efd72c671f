"""HTTP connections that wait for nobody for ever: a head has a size and a time to arrive in, an answer has to be read.

What a body may take is the surfaces' business (`api.bodies`), as is what is in it. Connections beyond what this process
has file descriptors for are closed at once, so that the store, the files and the workers keep theirs.
"""

from __future__ import annotations

import asyncio
import resource
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 30.0  # from a connection's beginning, or the first byte of its next request, to the end of the head
HEAD_BYTES = 65_536  # of a head, beside what came with its first piece
LINGER_SECONDS = 30.0  # for the rest of a body that was refused, so that its sender gets to read why
STALL_SECONDS = 300.0  # in which a client reads a part of what its connection's buffers hold
SHARE = 0.4  # of the process's file descriptors that connections of one listener may have
MOST_DESCRIPTORS = 65_536


@cache
def most_connections() -> int:
    """Of one listener; the process takes as many descriptors as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return int((MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) * SHARE)


class Connection(HttpToolsProtocol):
    """uvicorn's, with limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None  # of the head, or of the rest of a body that was refused
        self._stall_timer: asyncio.TimerHandle | None = None
        self._heads = 0  # that have begun
        self._in_head = self._in_body = False  # where the next bytes belong; neither: between two requests
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_timer()
        self._clear_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        head = self._heads if self._in_head else None
        if not self._in_body:
            self._expect_head()
        super().data_received(data)
        if self._in_head and self._heads == head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heads += 1
        self._in_head, self._head_bytes = True, 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._clear_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._clear_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:  # refused before its body was all there
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self._stall_timer or self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._clear_stall()
        super().resume_writing()

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self._clear_timer()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _clear_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
