"""fal's realtime: msgpack in and out over one connection, one request at a time, errors that leave it open."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from laterna.api import fal_realtime
from laterna.api.realtime_frames import read_frame
from laterna.contracts.generation import TextToImage
from tests.api.conftest import Api

SECONDS = 10.0


def token(api: Api, path: str = "/rest/tokens/", **body: Any) -> str:
    with api.http() as http:
        answer = http.post(path, json={"allowed_apps": ["blank"], **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json())


@contextmanager
def opened(api: Api, endpoint: str = "test/blank", key: str | None = "", **query: Any) -> Iterator[ClientConnection]:
    """A connection with the first key, another, or (None) no key."""
    headers = {} if key is None else {"authorization": f"Key {key or api.key}"}
    url = f"ws://localhost:{api.port}/{endpoint}/realtime?{urlencode(query)}"
    with connect(url, additional_headers=headers, proxy=None) as socket:
        yield socket


def say(socket: ClientConnection, **fields: Any) -> None:
    socket.send(msgspec.msgpack.encode({"prompt": "a fox", **fields}))


def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next frame; results are binary."""
    frame = socket.recv(SECONDS)
    found: dict[str, Any] = json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
    return found


def result(socket: ClientConnection) -> dict[str, Any]:
    """The next result; what comes before it are its timings."""
    said = hear(socket)
    assert (said["type"], said["action"]) == ("x-fal-message", "timings")
    return hear(socket)


def test_results_come_in_order_with_bytes_and_the_senders_id(api: Api) -> None:
    with opened(api) as socket:
        say(socket, seed=1, request_id="one")
        say(socket, seed=2)
        for seed in (1, 2):
            leased = api.take()
            job = leased.generation
            assert isinstance(job, TextToImage)
            assert (job.seed, job.inline) == (seed, True)
            made = api.finish(leased)
            told = result(socket)
            assert told["seed"] == seed
            assert told["images"][0]["content"] == made[0]
            assert base64.b64decode(told["images"][0]["url"].partition(",")[2]) == made[0]
            assert told.get("request_id") == ("one" if seed == 1 else None)


def test_a_picture_that_is_to_be_kept_has_an_address(api: Api) -> None:
    with opened(api) as socket:
        say(socket, sync_mode=False)
        made = api.finish(api.take())
        (image,) = result(socket)["images"]
    assert "content" not in image
    with api.http(key=None) as http:
        assert http.get(image["url"]).content == made[0]


def test_a_token_opens_its_app_alone(api: Api) -> None:
    for made in (
        token(api),
        token(api, allowed_apps=["test/blank"], token_expiration=30),
        token(api, "/rest/tokens/realtime", allowed_apps=["test/blank/realtime"], duration=30),
    ):
        with opened(api, key=None, fal_jwt_token=made) as socket:
            say(socket)
            api.finish(api.take())
            assert result(socket)["images"]
    with opened(api, "laterna/sprite", key=None, fal_jwt_token=token(api)) as socket:
        refused(socket, "forbidden")


def refused(socket: ClientConnection, code: str) -> dict[str, Any]:
    """It says why, and closes."""
    said = hear(socket)
    assert (said["type"], said["error"]) == ("x-fal-error", code)
    assert said["reason"]
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == fal_realtime.REFUSED
    return said


def test_who_has_no_right_is_told_so_in_both_clients_words(api: Api) -> None:
    for query in ({}, {"fal_jwt_token": "a.b.c"}):
        with opened(api, key=None, **query) as socket:
            assert refused(socket, "Unauthorized")["status"] == "error"
    with opened(api, key="wrong") as socket:
        refused(socket, "Unauthorized")


def test_what_is_not_there_is_told(api: Api) -> None:
    with opened(api, "test/nothing") as socket:
        refused(socket, "endpoint_not_found")
    with opened(api, max_buffering=0) as socket:
        refused(socket, "invalid_input")
    with opened(api, max_buffering=61) as socket:
        refused(socket, "invalid_input")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1", "bad_request"),
        (b"", "invalid_input"),
        (msgspec.msgpack.encode([1]), "bad_request"),
        (msgspec.msgpack.encode({1: 2}), "bad_request"),
        (msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"x")), "bad_request"),
        (msgspec.msgpack.encode({"prompt": msgspec.msgpack.Ext(5, b"x")}), "bad_request"),
        (b"\x91" * 100 + b"\x01", "bad_request"),
        (b"\x91" * 100_000 + b"\x01", "bad_request"),
        (b"\xdf\xff\xff\xff\xff", "bad_request"),
        (msgspec.msgpack.encode({"prompt": 7}), "invalid_input"),
        (msgspec.msgpack.encode({"prompt": "a", "guidance_scale": float("nan")}), "invalid_input"),
        ("{", "bad_request"),
        ("[]", "bad_request"),
    ],
)
def test_a_bad_frame_is_told_and_the_connection_goes_on(api: Api, frame: bytes | str, code: str) -> None:
    with opened(api) as socket:
        socket.send(frame)
        said = hear(socket)
        assert (said["type"], said["error"]) == ("x-fal-error", code)
        socket.send('{"prompt": "in JSON", "request_id": "two"}')
        api.finish(api.take())
        assert result(socket)["request_id"] == "two"


def test_a_request_that_fails_is_told_with_the_senders_id(api: Api) -> None:
    with opened(api) as socket:
        say(socket, request_id="x")
        api.fail(api.take(), "sample_failed", "it became NaN")
        said = hear(socket)
    assert (said["error"], said["reason"], said["request_id"]) == ("sample_failed", "it became NaN", "x")


def test_the_oldest_that_waits_is_dropped(api: Api) -> None:
    with opened(api, max_buffering=2) as socket:
        say(socket, seed=1)
        first = api.take()
        for seed in (2, 3, 4, 5):
            say(socket, seed=seed)
        socket.ping().wait(SECONDS)  # frames are taken in order: they have all been read
        api.finish(first)
        assert result(socket)["seed"] == 1
        seeds = []
        for _ in range(2):
            api.finish(api.take())
            seeds.append(result(socket)["seed"])
    assert seeds == [4, 5]


def test_a_client_who_goes_has_its_request_stopped(api: Api) -> None:
    with opened(api) as socket:
        say(socket)
        leased = api.take()
        api.begin(leased)
    until(lambda: leased.lease in api.cancelled)
    api.fail(leased, "client_cancelled")


def test_a_key_that_ends_ends_what_it_opened(api: Api) -> None:
    key = api.call(api.keys.create("default", "short"))
    with opened(api, key=key.text) as socket:
        say(socket)
        api.finish(api.take())
        result(socket)
        api.call(api.keys.revoke("default", key.id))
        say(socket)
        assert hear(socket)["error"] == "Unauthorized"


def test_silence_ends_a_connection_kindly(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_realtime, "IDLE_SECONDS", 0.2)
    with opened(api) as socket:
        assert hear(socket)["error"] == "TIMEOUT"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == fal_realtime.DONE


def test_bytes_of_an_input_become_a_data_uri() -> None:
    png = b"\x89PNG\r\n\x1a\n123"
    frame = msgspec.msgpack.encode({"image_url": png, "more": [png, {"a": 1.5}]})
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    assert read_frame(frame) == {"image_url": uri, "more": [uri, {"a": 1.5}]}


def until(probe: Callable[[], bool]) -> None:
    for _ in range(1000):
        if probe():
            return
        time.sleep(0.01)
    raise AssertionError("not within ten seconds")
