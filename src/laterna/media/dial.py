"""Open connections for users' URLs: resolve the name, check every address, connect to a checked one.

The check sits where the socket is opened, so nothing that happens to the name later (DNS rebinding) changes where the
bytes go. TLS still verifies the name, which httpcore passes on by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpcore2

from laterna.config import IPNetwork
from laterna.errors import FetchError
from laterna.media.addresses import IPAddress, check, own_addresses

Resolver = Callable[[str, int], Awaitable[Sequence[IPAddress]]]

MAX_ATTEMPTS = 4  # addresses of one name that are tried
CONNECT_SECONDS = 5.0  # for each address, so that a dead IPv6 route leaves time for IPv4

# Threads of our own: names that resolve slowly must not hold up the rest of the process.
_threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")


async def resolve(host: str, port: int) -> Sequence[IPAddress]:
    """The system's resolver, in a thread. Raises FetchError for names without an address."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(_threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise FetchError(f"the host {host!r} could not be resolved; check its spelling") from error
    return [ip_address(entry[4][0]) for entry in found]


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """httpcore's way to the network, for public addresses and the networks in `allow` alone."""

    def __init__(self, *, allow: tuple[IPNetwork, ...], resolver: Resolver) -> None:
        self._allow = allow
        self._resolver = resolver
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = FetchError(f"the host {host!r} has no address")
        for address in (await self._checked(host, port))[:MAX_ATTEMPTS]:
            try:
                return await self._inner.connect_tcp(str(address), port, CONNECT_SECONDS, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise NotImplementedError("URLs of users never lead to sockets on disk")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int) -> Sequence[IPAddress]:
        """Every address of the host, or AddressRefused if a single one may not be reached."""
        try:
            addresses: Sequence[IPAddress] = [ip_address(host)]
        except ValueError:
            addresses = await self._resolver(host, port)
        own = own_addresses()
        for address in addresses:
            check(address, allow=self._allow, own=own, host=host)
        return addresses
