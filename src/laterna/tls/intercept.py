"""A CONNECT proxy on loopback that leads fal's own hosts to this server and every other host where it belongs.

fal's clients upload to hosts that are written into them. With HTTPS_PROXY set to this proxy and our authority trusted,
they come here instead, unmodified. The proxy needs a token, carries ciphertext only, and looks at nothing but the name
that the client asks for. Neighbours: `upstream`, the proxy that a client had before; `laterna env --intercept` prints
the settings.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from laterna.tls.upstream import Upstream, carried, parse

LOOPBACK = "127.0.0.1"
MAX_HEAD = 16 * 1024  # bytes of a request's head
HEAD_SECONDS = 10.0  # until the head must have come
CONNECT_SECONDS = 15.0  # to reach the other side
IDLE_SECONDS = 900.0  # without a byte either way, until a tunnel is closed
PIECE = 64 * 1024  # bytes read at once

_Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_STATUS = {
    400: "Bad Request",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}
_SOCKS = {"socks4": ProxyType.SOCKS4, "socks5": ProxyType.SOCKS5}
_EXTRA = {405: "Allow: CONNECT\r\n", 407: 'Proxy-Authenticate: Basic realm="laterna"\r\n'}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the proxy waits; seconds."""

    head_s: float = HEAD_SECONDS
    connect_s: float = CONNECT_SECONDS
    idle_s: float = IDLE_SECONDS


class Refusal(Exception):
    """A request that gets no tunnel, with the HTTP status that says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Intercept:
    """The proxy. It listens from `start` to `close`."""

    def __init__(
        self, *, token: str, names: Iterable[str], target: tuple[str, int], limits: Limits | None = None
    ) -> None:
        """
        Args:
            token: the password that clients must give; the user name may carry the proxy for all other hosts.
            names: fal's hosts, which lead here.
            target: host and port where this server answers TLS for them.
        """
        assert token
        self._token = token.encode()
        self._names = frozenset(names)
        self._target = target
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; returns the port, which the system chooses for 0. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port, limit=MAX_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut every tunnel."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tunnels):
            task.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            await self._serve(reader, writer)
        except Refusal as refusal:
            writer.write(_answer(refusal.status))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            self._tunnels.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, authority, headers = await self._head(reader)
        user = self._user(headers.get("proxy-authorization", ""))
        if method != "CONNECT":
            raise Refusal(405)
        there_reader, there_writer = await self._connect(*self._route(authority), user)
        try:
            writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            await self._relay((reader, writer), (there_reader, there_writer))
        finally:
            there_writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
        """Method, target and headers by lower-case name."""
        try:
            async with asyncio.timeout(self._limits.head_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Refusal(408) from None
        except asyncio.LimitOverrunError:
            raise Refusal(431) from None
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise Refusal(400)
        pairs = [line.partition(":") for line in lines if line]
        return words[0], words[1], {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _user(self, authorization: str) -> str:
        """The user name, which came with the token."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            raise Refusal(407) from None
        if scheme.lower() != "basic" or not hmac.compare_digest(password, self._token):
            raise Refusal(407)
        return user.decode("latin-1")

    def _route(self, authority: str) -> tuple[str, int]:
        """Where a tunnel to `host:port` ends."""
        match = _AUTHORITY.fullmatch(authority)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise Refusal(400)
        host, port = (match["v6"] or match["name"]).lower().removesuffix("."), int(match["port"])
        return self._target if host in self._names and port == 443 else (host, port)

    async def _connect(self, host: str, port: int, user: str) -> _Side:
        """By the client's own proxy, where it had one; to this server without."""
        proxy = carried(user)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                if proxy is None or (host, port) == self._target:
                    return await asyncio.open_connection(host, port)
                return await _through(parse(proxy), host, port)
        except TimeoutError:
            raise Refusal(504) from None
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, ProxyError):
            raise Refusal(502) from None

    async def _relay(self, here: _Side, there: _Side) -> None:
        """Carry bytes both ways until both sides have finished, one is gone, or neither has spoken for too long."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.idle_s) as idle, asyncio.TaskGroup() as both:

                def alive() -> None:
                    idle.reschedule(loop.time() + self._limits.idle_s)

                both.create_task(_pump(here[0], there[1], alive))
                both.create_task(_pump(there[0], here[1], alive))
        except* (OSError, TimeoutError):
            pass  # the tunnel is over; closing both ends says so to whoever is left


async def _through(proxy: Upstream, host: str, port: int) -> _Side:
    """A tunnel to the host through another proxy. Raises OSError or ProxyError where it gives none."""
    if proxy.scheme.startswith("socks"):
        kind, by_name = _SOCKS[proxy.scheme[:6]], proxy.scheme[6:] != ""
        socks = Proxy(kind, proxy.host, proxy.port, proxy.user, proxy.password, rdns=by_name)
        return await asyncio.open_connection(sock=await socks.connect(host, port, timeout=CONNECT_SECONDS))
    return await _tunnel(proxy, host, port)


async def _tunnel(proxy: Upstream, host: str, port: int) -> _Side:
    """By an HTTP proxy's CONNECT."""
    tls = proxy.scheme == "https" or None
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=tls, limit=MAX_HEAD)
    try:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        secret = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{secret}\r\n".encode())
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1:2]
        if status != [b"200"]:
            raise ConnectionRefusedError(f"the proxy {proxy.host} answered {status}")
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alive: Callable[[], None]) -> None:
    while piece := await reader.read(PIECE):
        alive()
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


def _answer(status: int) -> bytes:
    head = f"HTTP/1.1 {status} {_STATUS[status]}\r\n{_EXTRA.get(status, '')}"
    return f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
