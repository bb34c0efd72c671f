"""A webhook reaches its receiver once the request has settled, again and again until it is taken; the receiver believes
its signature by the keys that it finds where fal's receivers look.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from replicate.webhook import Webhooks, WebhookSigningSecret

from tests.dispatch.receiver import Receiver
from tests.e2e.conftest import Server, laterna, wait_for

FETCH = (
    "from urllib.request import urlopen; print(urlopen('https://rest.fal.ai/.well-known/jwks.json').read().decode())"
)
SENDER = """
import json, replicate
made = replicate.predictions.create(model="{model}", input={{"prompt": "x", "seed": 4}}, webhook="{url}",
                                    webhook_events_filter={events})
print(json.dumps([made.id, replicate.webhooks.default.secret().key]))
"""


class Listener(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[dict[str, str], bytes]] = []  # headers in lower case, body
        self.refuse = 1  # the first deliveries are refused


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(200 if len(self.server.heard) > self.server.refuse else 500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def keys(server: Server) -> Any:
    """What a stock receiver fetches, whose process was pointed here by `laterna exec`."""
    done = laterna(server.data, "exec", "--", "python3", "-c", FETCH)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_webhook_is_told_until_it_listens_and_its_receiver_believes_it(
    servers: Callable[..., Server], listener: Listener
) -> None:
    server = servers("--set", "fetch_allow=127.0.0.0/8")
    url = f"http://127.0.0.1:{listener.server_port}/hook"
    with server.http() as http:
        answer = http.post("/queue/test/blank", params={"fal_webhook": url}, json={"prompt": "x", "seed": 4})
    request = answer.json()["request_id"]
    wait_for(lambda: len(listener.heard) >= 2, 30)
    bodies = [body for _, body in listener.heard]
    assert bodies[0] == bodies[1]
    told = json.loads(bodies[0])
    assert (told["request_id"], told["status"]) == (request, "OK")
    assert told["payload"]["seed"] == 4
    assert told["payload"]["images"][0]["url"].startswith("http")

    receiver = Receiver(lambda: keys(server))
    assert all(receiver.verifies(headers, body) for headers, body in listener.heard)
    assert not receiver.verifies(listener.heard[1][0], bodies[0] + b" ")

    def shown() -> str:
        return laterna(server.data, "requests", "show", request).stdout

    wait_for(lambda: "status=200" in shown(), 30)
    assert "status=500 error=answered 500" in shown()
    assert laterna(server.data, "webhooks", "rotate", "--now").returncode == 0
    assert laterna(server.data, "requests", "redeliver", request).stdout == "REDELIVERY_REQUESTED\n"
    wait_for(lambda: len(listener.heard) >= 3, 30)
    headers, body = listener.heard[2]
    assert body == bodies[0]
    assert not receiver.verifies(headers, body), "it still has the key that was made void"
    assert Receiver(lambda: keys(server)).verifies(headers, body)
    assert server.stop() == 0


def sent(server: Server, listener: Listener, folder: Path, model: str, events: list[str]) -> tuple[str, str]:
    """The id of a prediction that Replicate's client asked for, and what its receivers verify with."""
    path = folder / "app.py"
    path.write_text(SENDER.format(model=model, url=f"http://127.0.0.1:{listener.server_port}/hook", events=events))
    done = laterna(server.data, "exec", "--", sys.executable, str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    prediction, key = json.loads(done.stdout)
    return prediction, key


def believed(listener: Listener, key: str) -> None:
    for headers, body in listener.heard:
        secret = WebhookSigningSecret(key=key)
        Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
        assert not any(name.startswith("x-fal") for name in headers)


def test_replicates_receivers_believe_a_prediction_that_ended(
    servers: Callable[..., Server], listener: Listener, tmp_path: Path
) -> None:
    server = servers("--set", "fetch_allow=127.0.0.0/8")
    prediction, key = sent(server, listener, tmp_path, "test/blank", ["completed"])
    wait_for(lambda: len(listener.heard) >= 2, 30)
    believed(listener, key)
    assert len({headers["webhook-id"] for headers, _ in listener.heard}) == 1
    told = json.loads(listener.heard[0][1])
    assert (told["id"], told["status"], told["input"]["seed"]) == (prediction, "succeeded", 4)
    assert told["output"][0].startswith("https://localhost:")
    assert told["urls"]["get"].endswith(f"/replicate/v1/predictions/{prediction}")
    assert server.stop() == 0


def test_replicates_receivers_hear_a_prediction_from_its_start_and_believe_all_of_it(
    servers: Callable[..., Server], listener: Listener, tmp_path: Path
) -> None:
    server = servers("--set", "fetch_allow=127.0.0.0/8")
    listener.refuse = 0
    prediction, key = sent(server, listener, tmp_path, "test/slow", ["start", "output", "logs", "completed"])

    def told() -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in listener.heard]

    ends = (("succeeded", True), ("processing", True))
    wait_for(lambda: {(one["status"], bool(one["output"])) for one in told()}.issuperset(ends), 60)
    believed(listener, key)
    assert {one["id"] for one in told()} == {prediction}
    *early, end = sorted(told(), key=lambda one: one["status"] == "succeeded")
    assert {one["status"] for one in early} == {"processing"}
    assert early[0]["output"] is None
    assert early[0]["started_at"] is not None
    assert any("%|" in one["logs"] for one in early), "its progress"
    assert [one["output"] for one in early if one["output"]] == [end["output"]]
    assert len({headers["webhook-id"] for headers, _ in listener.heard}) == len(listener.heard)
    assert server.stop() == 0
