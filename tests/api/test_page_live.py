"""The page's WebSocket: for whoever has a token, of its own tenant, and of devices for the operator alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from laterna.api.page_live import REFUSED
from laterna.contracts.messages import Lease, Ready
from laterna.dispatch.windows import Holding, Window
from tests.api.conftest import Api

SECONDS = 10.0


@contextmanager
def opened(api: Api, key: str = "", hello: str | None = None) -> Iterator[ClientConnection]:
    with api.http(key=key) as http:
        token = http.post("/api/page/token").json()["token"]
    with connect(f"ws://localhost:{api.port}/api/page/live", proxy=None) as socket:
        socket.send(json.dumps({"token": token}) if hello is None else hello)
        yield socket


def until(socket: ClientConnection, topic: str, holds: Callable[[Any], bool]) -> Any:
    """The first of the topic for which it holds."""
    for _ in range(30):
        said = json.loads(socket.recv(SECONDS))
        if said["topic"] == topic and holds(said["body"]):
            return said["body"]
    raise AssertionError(f"nothing of {topic} was so; last: {said}")


@pytest.mark.parametrize("hello", ["", "{}", '{"token": "x"}', '"x"', "x" * 5000])
def test_nobody_enters_without_a_token(api: Api, hello: str) -> None:
    with opened(api, hello=hello) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == REFUSED


def test_a_token_for_something_else_opens_nothing(api: Api) -> None:
    with api.http() as http:
        token = http.post("/rest/tokens", json={"allowed_apps": ["test/blank"]}).json()
    with opened(api, hello=json.dumps({"token": token})) as socket, pytest.raises(ConnectionClosed):
        socket.recv(SECONDS)


def test_requests_are_told_as_they_change(api: Api) -> None:
    with opened(api) as socket:
        socket.send('{"watch": ["requests", "nonsense"]}')
        request = api.submit(prompt="a heron")

        def is_there(state: str) -> Callable[[Any], bool]:
            return lambda body: any(
                one["request_id"] == request and (one["outcome"] or one["state"]) == state for one in body["requests"]
            )

        until(socket, "requests", is_there("queued"))
        leased = api.take(request)
        api.begin(leased)
        api.progress(leased, 3)
        told = until(socket, "requests", is_there("running"))
        mine = next(one for one in told["requests"] if one["request_id"] == request)
        assert (mine["progress"]["step"], mine["eta"]["seconds"]) == (3, 1.25)
        api.finish(leased)
        until(socket, "requests", is_there("ok"))


def test_strangers_see_neither_requests_nor_devices(api: Api) -> None:
    api.done()
    with opened(api, key=api.stranger()) as socket:
        socket.send('{"watch": ["requests", "operator"]}')
        said = [json.loads(socket.recv(SECONDS)) for _ in range(2)]
    bodies = {one["topic"]: one["body"] for one in said}
    assert bodies["requests"] == {"requests": []}
    assert bodies["operator"]["error"]["type"] == "forbidden"


def test_the_operator_sees_devices_the_queue_and_the_last_hour(api: Api) -> None:
    api.done()
    api.fail(api.take(api.submit()), "sample_failed")
    api.submit()
    ready = Ready(version=1, pid=1, device="cuda:0", device_name="A device", memory_bytes=2**30)
    held = Holding(
        lease=Lease(request_id="r", token="t"),
        tenant="a",
        priority=1,
        model="m@1",
        created_us=1,
        left_s=2.5,
        begun_ns=1,
    )
    api.windows["w"] = Window(worker="w", held={"t": held}, device=ready, ready=True, resident=frozenset({"m@1"}))
    try:
        with opened(api) as socket:
            socket.send('{"watch": ["operator"]}')
            body = until(socket, "operator", lambda body: bool(body["devices"]))
    finally:
        api.windows.clear()
    (device,) = body["devices"]
    assert (device["name"], device["resident"], device["work"][0]["left_seconds"]) == ("A device", ["m@1"], 2.5)
    assert body["queue"] == [{"class": "normal", "tenant": "default", "model": "test/blank", "waiting": 1}]
    assert body["recent"]["errors"]["sample_failed"] >= 1
    assert body["recent"]["total"]["p50"] <= body["recent"]["total"]["p99"]
    assert sum(body["recent"]["by_minute"].values()) == sum(body["recent"]["outcomes"].values())
    assert "lease" not in json.dumps(body), "leases' tokens are nobody's business"


def test_a_revoked_key_is_cut_off(api: Api) -> None:
    async def key() -> tuple[str, str, str]:
        tenant = (await api.tenants.create("leaver")).id
        made = await api.keys.create(tenant, "its")
        return tenant, made.id, made.text

    tenant, key_id, text = api.call(key())
    with opened(api, key=text) as socket:
        socket.send('{"watch": ["requests"]}')
        socket.recv(SECONDS)
        api.call(api.keys.revoke(tenant, key_id))
        with pytest.raises(ConnectionClosed):
            all(socket.recv(SECONDS) for _ in range(30))
