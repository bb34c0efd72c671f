"""The server that `laterna run` starts where none runs: it lives while anybody holds on to it, and no longer.

Who uses it shares a lock, which the system takes back however its holder ends; the server waits for the whole lock and
stops when it gets it. So a second `laterna run` that borrows the first one's server is not cut off, nothing outlives a
kill, and whoever comes while the server stops waits until it is gone. Entry: `python -m laterna.server.embedded DATA`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laterna.config import Settings, load
from laterna.errors import LaternaError, Unavailable
from laterna.private import private_folder
from laterna.server.address import Address, read_address
from laterna.store.lock import FolderLock

FILE = "embedded.lock"  # in the data folder: shared by users, held whole by the server while it stops
LOG = "embedded.log"  # in the data folder: what the server said
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05


@contextmanager
def embedded(settings: Settings) -> Iterator[Address]:
    """The running server's address, or that of one that this call starts. It stays up at least until the end.

    Raises Unavailable where it does not start.
    """
    private_folder(settings.data)
    with held(settings.data) as handle:
        address, server = _reach(settings)
        try:
            yield address
        finally:
            if server is not None and _last(handle):
                fcntl.flock(handle, fcntl.LOCK_UN)
                server.wait(STOP_SECONDS)


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """An embedded server of the folder stays up meanwhile. Raises Unavailable where one does not get done stopping."""
    handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + STOP_SECONDS
        while not _locked(handle, fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                holder = FolderLock.holder(folder)
                raise Unavailable(f"the embedded server of {folder} does not stop; end process {holder}")
            time.sleep(POLL_SECONDS)
        yield handle
    finally:
        os.close(handle)


def _reach(settings: Settings) -> tuple[Address, subprocess.Popen[bytes] | None]:
    """The server, and its process where this call started it.

    Where two start one at once, one of them finds the folder in use; both are answered by the other.
    """
    server, deadline = None, time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        address = read_address(settings.address_file)
        if address is not None:
            return address, server
        if FolderLock.holder(settings.data) is None:
            if server is None:
                print("no server runs: starting one for this call", file=sys.stderr)
                server = _start(settings)
            elif server.poll() is not None:
                said = (settings.data / LOG).read_text(errors="replace").strip().rpartition("\n")[2]
                raise Unavailable(f"the embedded server did not start: {said}")
        time.sleep(POLL_SECONDS)
    if server is not None:
        server.terminate()
    raise Unavailable(f"no server was up after {START_SECONDS:.0f} s; see {settings.data / LOG}")


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "laterna.server.embedded", str(settings.data)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    with os.fdopen(os.open(settings.data / LOG, flags, 0o600), "wb") as log:
        # A session of its own: Ctrl-C is for the command, which cancels its request before it lets go.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _last(handle: int) -> bool:
    """Whether nobody else holds on: then the whole lock can be had, unless the stopping server has it already."""
    return _locked(handle, fcntl.LOCK_EX) or not _locked(handle, fcntl.LOCK_SH)


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop_when_unused(folder: Path) -> None:
    handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)  # kept until the process ends
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    from laterna.server.server import serve

    def up(_: Address) -> None:
        threading.Thread(target=_stop_when_unused, args=(settings.data,), name="unused", daemon=True).start()

    try:
        settings = load({"data": sys.argv[1], "port": 0, "tls_port": 0, "log_level": "error"})
        asyncio.run(serve(settings, up))
    except LaternaError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
