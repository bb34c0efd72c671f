"""Where a running server can be reached: a small file in its data folder, there while the server is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Address(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    host: str  # to connect to, never a wildcard
    port: int  # HTTP
    tls_port: int
    intercept_port: int  # of the proxy that `laterna env --intercept` points at, on loopback
    intercept_token: str  # its password

    @property
    def http(self) -> str:
        return f"http://{self._name}:{self.port}"

    @property
    def tls(self) -> str:
        """Host and port, without a scheme: what fal's variables hold."""
        return f"{self._name}:{self.tls_port}"

    @property
    def _name(self) -> str:
        return "localhost" if self.host in ("127.0.0.1", "::1") else self.host

    def write(self, path: Path) -> None:
        """Atomically, readable by the owner alone."""
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self))
        os.replace(new, path)


def read_address(path: Path) -> Address | None:
    """The server of this data folder; None when none runs (a file left by a crash does not count)."""
    try:
        address = msgspec.json.decode(path.read_bytes(), type=Address)
        os.kill(address.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return address
