"""The CLI's own client of a server: plain HTTP to the queue, with errors as people read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from laterna.config import Settings
from laterna.errors import LaternaError, Unavailable
from laterna.server.address import Address, read_address

START_SECONDS = 60.0
LOG = "embedded.log"  # in the data folder: what an embedded server said


class Client:
    """One server, one key."""

    def __init__(self, address: Address, key: str) -> None:
        self.address = address
        self._http = httpx2.Client(
            base_url=address.http, headers={"Authorization": f"Key {key}"}, timeout=60, trust_env=False
        )

    def get(self, path: str) -> dict[str, Any]:
        return _answer(self._http.get(path))

    def put(self, path: str) -> dict[str, Any]:
        return _answer(self._http.put(path))

    def submit(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        return _answer(self._http.post(f"/queue/{endpoint}", json=body))

    def download(self, url: str) -> bytes:
        response = self._http.get(url)
        response.raise_for_status()
        return response.content

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """The data of a server-sent event stream, one after another."""
        with self._http.stream("GET", path, timeout=httpx2.Timeout(60, read=None)) as response:
            if response.status_code >= 400:
                response.read()
                _answer(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))


def connect(settings: Settings) -> Client:
    """A client of the data folder's running server. Raises Unavailable when none runs."""
    address = read_address(settings.address_file)
    if address is None:
        raise Unavailable(f"no server runs on {settings.data}; start one with `laterna serve --data {settings.data}`")
    return Client(address, settings.key_file.read_text().strip())


@contextmanager
def connect_or_start(settings: Settings) -> Iterator[Client]:
    """A client of the running server, or of one that lives for this call."""
    if read_address(settings.address_file) is not None:
        yield connect(settings)
        return
    print("no server runs: starting one for this call", file=sys.stderr)
    command = [sys.executable, "-m", "laterna.cli", "serve", "--data", str(settings.data)]
    command += ["--port", "0", "--tls-port", "0", "--set", "log_level=error"]
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    said = settings.data / LOG
    with os.fdopen(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _until_up(settings, server)
    finally:
        server.terminate()
        server.wait(30)


def _until_up(settings: Settings, server: subprocess.Popen[bytes]) -> Client:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = (settings.data / LOG).read_text().strip().rpartition("\n")[2]
            raise Unavailable(f"the embedded server did not start: {said}")
        if read_address(settings.address_file) is not None:
            return connect(settings)
        time.sleep(0.05)
    raise Unavailable(f"the embedded server was not up after {START_SECONDS:.0f} s")


def _answer(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = {}
    if response.status_code >= 400:
        raise LaternaError(_reason(body) or f"the server answered {response.status_code}")
    return body if isinstance(body, dict) else {"value": body}


def _reason(body: Any) -> str:
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(str(p) for p in d.get('loc', [])[1:])}: {d.get('msg')}" for d in detail)
    return str(detail or (body.get("message") if isinstance(body, dict) else "") or "")
