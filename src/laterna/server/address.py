"""Where a running server can be reached: a small file in its data folder, there while the server is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from laterna.api.hosts import FAL_HOSTS
from laterna.config import Settings
from laterna.errors import Unavailable
from laterna.private import write_private
from laterna.store.lock import FolderLock

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listening on all addresses -> where to connect to


class Address(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    host: str  # to connect to, never a wildcard
    port: int  # HTTP
    tls_port: int
    intercept_port: int  # of the proxy that `laterna env --intercept` points at, on loopback
    intercept_token: str  # its password

    @property
    def http(self) -> str:
        return f"http://{url_host(self.host)}:{self.port}"

    @property
    def tls(self) -> str:
        """Host and port, without a scheme: what fal's variables hold."""
        return f"{url_host(self.host)}:{self.tls_port}"

    def write(self, path: Path) -> None:
        """Atomically, readable by the owner alone."""
        write_private(path, msgspec.json.encode(self))


def reachable(host: str) -> str:
    """Where to connect to a server that listens on `host`."""
    return LOOPBACK.get(host, host)


def url_host(host: str) -> str:
    """The host as URLs of a server that listens on it have it."""
    host = reachable(host)
    if host in LOOPBACK.values():
        return "localhost"
    return f"[{host}]" if ":" in host else host


def served_names(settings: Settings) -> tuple[str, ...]:
    """What clients call this server, besides localhost: fal's names, the operator's, and the address it listens on."""
    return (*FAL_HOSTS, *settings.names, reachable(settings.host))


def read_address(path: Path) -> Address | None:
    """The address that the data folder's running server wrote to `path`, which lies in it; None when none runs.

    The folder's lock says whether one does: a file left by a crash does not count, whoever has its process id by now.
    """
    try:
        address = msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        return None
    return address if FolderLock.holder(path.parent) == address.pid else None


def find_address(settings: Settings) -> Address:
    """The same for commands that need a server. Raises Unavailable when none runs."""
    address = read_address(settings.address_file)
    if address is None:
        raise Unavailable(f"no server runs on {settings.data}; start one with `laterna serve --data {settings.data}`")
    return address
