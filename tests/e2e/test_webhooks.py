"""A webhook reaches its receiver once the request has settled, again and again until it is taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.conftest import Server, wait_for


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[dict[str, Any]] = []
        self.refuse = 1  # the first deliveries are refused


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.heard.append(body)
        self.send_response(200 if len(self.server.heard) > self.server.refuse else 500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_webhook_is_told_until_it_listens(servers: Callable[..., Server], receiver: Receiver) -> None:
    server = servers("--set", "fetch_allow=127.0.0.0/8")
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    with server.http() as http:
        answer = http.post("/queue/test/blank", params={"fal_webhook": url}, json={"prompt": "x", "seed": 4})
    request = answer.json()["request_id"]
    wait_for(lambda: len(receiver.heard) >= 2, 30)
    first, second = receiver.heard[:2]
    assert first == second
    assert (first["request_id"], first["status"]) == (request, "OK")
    assert first["payload"]["seed"] == 4
    assert first["payload"]["images"][0]["url"].startswith("http")
    assert server.stop() == 0
