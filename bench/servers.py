"""Starts the servers that are compared, each in a process of its own, and stops them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from laterna.config import load
from laterna.server.address import read_address

START_SECONDS = 120.0
OUT = Path(__file__).parent / "out"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to send one picture's request."""

    name: str
    url: str
    headers: dict[str, str]
    body: dict[str, object]


@contextmanager
def laterna(data: Path, endpoint: str, body: dict[str, object]) -> Iterator[Target]:
    """Our server on a fresh data folder."""
    command = [sys.executable, "-m", "laterna.cli", "serve", "--data", str(data), "--port", "0", "--tls-port", "0"]
    process = subprocess.Popen([*command, "--set", "log_level=error"], stderr=subprocess.DEVNULL)
    settings = load({"data": data}, {})
    try:
        _wait(lambda: read_address(settings.address_file) is not None, process)
        address = read_address(settings.address_file)
        assert address is not None
        headers = {"Authorization": f"Key {settings.key_file.read_text().strip()}"}
        yield Target(name="laterna", url=f"{address.http}/{endpoint}", headers=headers, body=body)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def peer(name: str, module: str, body: dict[str, object]) -> Iterator[Target]:
    """A module of this package that serves `/generate` on the port it is given."""
    with _serving(name, [sys.executable, "-m", module], "health", body) as target:
        yield target


@contextmanager
def apart(name: str, script: Path, packages: Sequence[str], body: dict[str, object]) -> Iterator[Target]:
    """A script that serves `/generate` on the port it is given, in an environment of its own with these packages."""
    home = OUT / f"{script.stem}-venv"
    python, whole = home / "bin" / "python", home / "installed"
    if not whole.exists():
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        whole.touch()
    with _serving(name, [str(python), str(script)], "healthz", body) as target:
        yield target


@contextmanager
def _serving(name: str, command: list[str], health: str, body: dict[str, object]) -> Iterator[Target]:
    port = free_port()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, str(port)], stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        _wait(lambda: _answers(f"http://127.0.0.1:{port}/{health}"), process)
        yield Target(name=name, url=f"http://127.0.0.1:{port}/generate", headers={}, body=body)
    finally:
        with suppress(ProcessLookupError):  # it never started
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _wait(up: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"a server did not start (status {process.poll()})")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
