"""Real servers with real workers in processes of their own, on data folders of the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

from laterna.config import Settings, load
from laterna.server.address import Address, read_address

START_SECONDS = 60.0
Found = TypeVar("Found")
CARD = """
id = "{id}"
name = "Blank"
description = "Paints one colour, slowly if asked."
family = "blank"
weights = "builtin:none"
revision = "1"
licence = "Apache-2.0"
resident_bytes = 1
[settings]
sampler = "euler"
guidance = "none"
size = 64
step_seconds = {step_seconds}
[price]
unit = "image"
nano = 1000000
currency = "USD"
[[endpoints]]
contract = "sprite.text_to_image"
category = "text-to-image"
"""


@dataclass
class Server:
    """A running `laterna serve` and what a client needs to know of it."""

    data: Path
    process: subprocess.Popen[bytes]

    @property
    def settings(self) -> Settings:
        return load({"data": self.data}, {})

    @property
    def address(self) -> Address:
        address = read_address(self.settings.address_file)
        assert address is not None
        return address

    @property
    def key(self) -> str:
        return self.settings.key_file.read_text().strip()

    def http(self, **headers: str) -> httpx2.Client:
        given = {"Authorization": f"Key {self.key}", **headers}
        return httpx2.Client(base_url=self.address.http, headers=given, timeout=60, trust_env=False)

    def submit(self, endpoint: str = "test/slow", **body: Any) -> str:
        with self.http() as http:
            answer = http.post(f"/queue/{endpoint}", json={"prompt": "x", **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    def status(self, request: str, endpoint: str = "test/slow") -> dict[str, Any]:
        with self.http() as http:
            answer = http.get(f"/queue/{endpoint}/requests/{request}/status?logs=1")
        assert answer.status_code in (200, 202), answer.text
        body: dict[str, Any] = answer.json()
        return body

    def result(self, request: str, endpoint: str = "test/slow") -> httpx2.Response:
        with self.http() as http:
            return http.get(f"/queue/{endpoint}/requests/{request}")

    def until(self, request: str, state: str, endpoint: str = "test/slow", seconds: float = 60) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            seen = self.status(request, endpoint)
            return seen if seen["status"] == state else None

        return wait_for(there, seconds)

    def worker(self) -> psutil.Process:
        """The live worker process."""
        return wait_for(
            lambda: next(
                (
                    child
                    for child in psutil.Process(self.process.pid).children()
                    if child.status() != psutil.STATUS_ZOMBIE and "laterna.worker" in child.cmdline()
                ),
                None,
            )
        )

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(40)


def wait_for(probe: Callable[[], Found | None], seconds: float = 60) -> Found:
    """Poll until the probe gives something true; the last answer is in the failure."""
    deadline = time.monotonic() + seconds
    found: Found | None = None
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; last: {found!r}")


def submitted(data: Path, state: str = "%") -> bool:
    """Whether the folder's database holds a request, in that state."""
    with contextlib.closing(sqlite3.connect(data / "laterna.db")) as database:
        return bool(database.execute("SELECT count(*) FROM requests WHERE state LIKE ?", (state,)).fetchone()[0])


def write_cards(data: Path) -> None:
    cards = data / "cards"
    cards.mkdir(parents=True, exist_ok=True)
    (cards / "blank.toml").write_text(CARD.format(id="test/blank", step_seconds=0.0))
    (cards / "slow.toml").write_text(CARD.format(id="test/slow", step_seconds=0.1))


def start(data: Path, *flags: str, **variables: str) -> Server:
    write_cards(data)
    command = [sys.executable, "-m", "laterna.cli", "serve", "--data", str(data), "--port", "0", "--tls-port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with (data / "stderr").open("ab") as stderr:
        process = subprocess.Popen([*command, *flags], env=environment, stderr=stderr)
    server = Server(data=data, process=process)

    def up() -> bool:
        assert process.poll() is None, (data / "stderr").read_text()[-3000:]
        address = read_address(server.settings.address_file)
        return address is not None and address.pid == process.pid

    wait_for(up, START_SECONDS)
    return server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server that tests share; they must leave it standing."""
    running = start(tmp_path_factory.mktemp("shared"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on the test's own folder, one after another; all are ended at the end."""
    started: list[Server] = []

    def again(*flags: str, **variables: str) -> Server:
        started.append(start(tmp_path, *flags, **variables))
        return started[-1]

    yield again
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def laterna(data: Path, *words: str, seconds: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a `laterna` command on a data folder."""
    command = [sys.executable, "-m", "laterna.cli", *words]
    given = {**os.environ, "LATERNA_DATA": str(data), **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=given)


def json_of(text: str) -> Any:
    return json.loads(text)
