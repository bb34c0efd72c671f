"""What the server leans on goes away for a while: it says so, loses nothing, and goes on by itself once it is back."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import Server, servers, start, wait_for
from tests.tools import missing

__all__ = ["servers"]
pytestmark = pytest.mark.slow

Start = Callable[..., Server]
BIG = b"\x89PNG\r\n\x1a\n" + os.urandom(3_000_000)


class Asking:
    """Submits without a pause; keeps what was acknowledged and how it was refused."""

    def __init__(self, server: Server) -> None:
        self.accepted: list[str] = []
        self.refused: list[httpx2.Response] = []
        self._server, self._stopping = server, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        with self._server.http() as http:
            while not self._stopping.wait(0.05):
                answer = http.post("/queue/test/blank", json={"prompt": "x", "num_inference_steps": 2})
                if answer.status_code == 200:
                    self.accepted.append(str(answer.json()["request_id"]))
                else:
                    self.refused.append(answer)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def kept(server: Server, requests: list[str]) -> None:
    """Every one of them went well, and its picture is there."""
    for request in requests:
        server.until(request, "COMPLETED", "test/blank", seconds=120)
        answer = server.result(request, "test/blank")
        assert answer.status_code == 200, answer.text
        assert urllib.request.urlopen(answer.json()["images"][0]["url"]).read()


def clear(answers: list[httpx2.Response]) -> None:
    """Each says that it is we who cannot at the moment, and that it can be sent again."""
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["error_type"] == "unavailable"
        assert "try again" in answer.json()["message"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own that is soon full. Skips where none can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=False)
    if made.returncode:
        missing("a small disk cannot be mounted: not root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_passes(small_disk: Path) -> None:
    server = start(small_disk / "data")
    ballast = small_disk / "ballast"
    try:
        asking = Asking(server)
        wait_for(lambda: len(asking.accepted) > 5)
        fill(ballast)
        wait_for(lambda: len(asking.refused) > 5)
        with server.http() as http:
            uploads = [http.post("/cdn/files/upload", content=BIG) for _ in range(3)]
        clear(uploads)
        assert server.process.poll() is None
        ballast.unlink()
        before = len(asking.accepted)
        wait_for(lambda: len(asking.accepted) > before + 5)
        asking.stop()
        clear(asking.refused)
        assert "full" in asking.refused[0].json()["message"]
        kept(server, asking.accepted)
        with server.http() as http:
            assert http.post("/cdn/files/upload", content=BIG).status_code == 200
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def fill(path: Path) -> None:
    """To the last byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65_536)) == 65_536:
            pass
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1)):
            pass


def test_a_database_that_somebody_holds_is_told_and_passes(servers: Start) -> None:
    server = servers()
    asking = Asking(server)
    wait_for(lambda: len(asking.accepted) > 5)
    running = server.submit("test/slow", num_inference_steps=20)
    server.until(running, "IN_PROGRESS")
    with contextlib.closing(sqlite3.connect(server.settings.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: len(asking.refused) > 1, 60)
        other.execute("ROLLBACK")
    before = len(asking.accepted)
    wait_for(lambda: len(asking.accepted) > before + 5)
    asking.stop()
    clear(asking.refused)
    assert "locked" in asking.refused[0].json()["message"]
    kept(server, asking.accepted)
    done = server.until(running, "COMPLETED")
    assert server.result(running).status_code == 200
    assert "falls silent" not in str(done["logs"]), "what was done while the store was away is not done again"
    assert server.stop() == 0


class Bucket:
    """An S3-compatible server that can be away."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.come()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/pictures", data=b"", method="PUT")
        urllib.request.urlopen(request).close()

    def come(self) -> None:
        from moto.server import ThreadedMotoServer

        made: Any = ThreadedMotoServer
        self._running = made(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._running.start()

    def go(self) -> None:
        self._running.stop()

    @property
    def variables(self) -> dict[str, str]:
        given = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1", "ALLOW_HTTP": "true"}
        given["ENDPOINT_URL"] = f"http://127.0.0.1:{self._port}"
        return {f"AWS_{name}": value for name, value in given.items()}


def test_a_bucket_that_is_away_is_waited_for(servers: Start) -> None:
    pytest.importorskip("moto.server")
    bucket = Bucket()
    server = servers("--set", "files=s3://pictures", **bucket.variables)
    kept(server, [server.submit("test/blank")])
    bucket.go()
    with server.http() as http:
        waiting = [server.submit("test/blank", seed=number) for number in range(5)]
        began = time.monotonic()
        clear([http.post("/cdn/files/upload", content=BIG)])
        assert time.monotonic() - began < 60
        assert http.get("/health").status_code == 200
        assert all(server.status(request, "test/blank")["status"] != "COMPLETED" for request in waiting)
        bucket.come()
        kept(server, waiting)
        assert http.post("/cdn/files/upload", content=BIG).status_code == 200
    bucket.go()
    assert server.stop() == 0
