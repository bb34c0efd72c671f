"""Whatever is sent, no answer is a server's error, and each comes: every route, by what is drawn from its own words."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from laterna import errors
from laterna.api.app import routes
from tests.api.conftest import Api, picture, running
from tests.api.fuzzing import NUMBERS, PATIENCE_SECONDS, UGLY, Answered, Fuzzer, Wire, served

# What the queue says of a request that could not begin or end in the time that its client gave it: no fault of ours.
TIMED = {errors.StartTimeout.code, errors.DeadlineUnreachable.code}
SHORT, LONG = 6, 400  # requests to each method of each route
SEED = int(os.environ.get("FUZZ_SEED", "1"))


class Hands:
    """Works on whatever is queued until it is told to stop, so that nobody waits for nothing."""

    def __init__(self, api: Api) -> None:
        self._api, self._stop = api, threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.wait(0.005):
            for leased in self._api.call(self._api.requests.lease("cpu", 50)):
                self._api.finish(leased)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server of its own, as what is sent here changes keys, tenants and limits."""
    with running(tmp_path_factory.mktemp("fuzz") / "data", body_mb=1, upload_mb=1) as api:
        hands = Hands(api)
        try:
            yield api
        finally:
            hands.stop()


def world(api: Api) -> tuple[dict[str, list[str]], list[str]]:
    """What there is to ask for, by the name of a path's parameter; and keys, the first of which may everything."""
    with api.http() as http:
        request_id = str(http.post("/queue/test/blank", json={"prompt": "x"}).json()["request_id"])
        uploaded = http.post("/cdn/files/upload", content=picture(), headers={"x-fal-file-name": "a.png"})
        key = uploaded.json()["access_url"].split("/files/")[1].split("/")[0]
        kept = http.post("/replicate/v1/files", files={"content": ("a.png", picture(), "image/png")}).json()["id"]
        made = http.post("/platform/v1/keys", json={"alias": "fuzzed", "scope": "api"}).json()
        tenant = http.post("/platform/v1/tenants", json={"name": f"fuzzed-{request_id}"}).json()["tenant_id"]
    endpoints = ["test/blank", "test/blank/deep/down", "laterna/sprite"]
    known = {
        "endpoint": endpoints, "app": endpoints, "model": endpoints, "request_id": [request_id],
        "prediction": [request_id], "id": [request_id], "key": [key], "name": ["a.png"], "file": [kept],
        "key_id": [made["key_id"]], "tenant": [tenant], "month": ["2026-11"], "rest": ["images/edits"],
    }  # fmt: skip
    keys = [
        f"Key {api.key}",
        f"Key {api.stranger()}",
        f"Bearer {api.key}",
        "",
        "Key é:\x00",
        "Bearer a.b.c",
        "Key " + "x" * 9000,
    ]
    return known, keys


def fine(answer: Answered) -> bool:
    """Whether it is no server's error."""
    return answer.status < 500 or (answer.status == 504 and answer.headers.get("x-fal-error-type", "") in TIMED)


def fuzz(api: Api, times: int) -> None:
    known, keys = world(api)
    secret = api.key.partition(":")[2].encode()  # it lies in the data folder, and nothing gives it out
    fuzzer, wire, seen = Fuzzer(known, keys, SEED), Wire(api.port), set()
    for one in served(routes(api.services)) * times:
        sent = fuzzer.request(one)
        answer = wire.send(sent)
        seen.add(answer.status)
        assert fine(answer), (sent, answer)
        assert "x-evil" not in answer.headers, sent
        assert secret not in answer.body, (sent, answer)
        if answer.status >= 400:
            assert b"Traceback" not in answer.body, (sent, answer)
            assert str(api.settings.data).encode() not in answer.body, (sent, answer)
    wire.close()
    assert {200, 404, 422} <= seen, "what was sent never got past the router"


def test_no_request_is_a_servers_error(fuzzed: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        fuzz(fuzzed, SHORT)
    assert [line for line in logs if line["log_level"] in ("error", "critical")] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_request_of_very_many_is_a_servers_error(fuzzed: Api) -> None:
    fuzz(fuzzed, int(os.environ.get("FUZZ_TIMES", LONG)))


WORDS = st.sampled_from(UGLY)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), WORDS)
FRAMES = st.one_of(
    st.binary(max_size=60),
    WORDS,
    st.recursive(
        PLAIN,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["prompt", "seed", "num_images", "request_id", "image_size", "x"]), inner),
        ),
        max_leaves=6,
    ).map(msgspec.msgpack.encode),
    st.dictionaries(
        st.sampled_from(["prompt", "request_id", "token", "watch"]), st.one_of(st.sampled_from(NUMBERS), WORDS)
    ).map(json.dumps),
    st.just('{"x":' + "[" * 1900 + "]" * 1900 + "}"),
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    frames=st.lists(FRAMES, max_size=4), path=st.sampled_from(["/test/blank/realtime", "/test/blank", "/api/page/live"])
)
def test_no_frame_breaks_a_realtime_connection(fuzzed: Api, frames: list[bytes | str], path: str) -> None:
    """It is answered, or the connection is closed for a reason that is the client's."""
    url = f"ws://127.0.0.1:{fuzzed.port}{path}"
    told = {"authorization": f"Key {fuzzed.key}"}
    with connect(url, additional_headers=told, open_timeout=PATIENCE_SECONDS, close_timeout=PATIENCE_SECONDS) as socket:
        try:
            for frame in frames:
                socket.send(frame)
            while True:
                socket.recv(timeout=0.02)
        except TimeoutError:
            return
        except ConnectionClosed as closed:
            ended = closed.rcvd
        else:
            raise AssertionError("it never ends")
        assert ended is not None, "the connection broke off"
        assert ended.code != 1011, ended


@pytest.mark.parametrize("most", ["0000000001999999999999999999999", "-1", "0", "²", "1e3", "61", "", "9" * 5000])
def test_how_many_frames_may_wait_is_a_number_in_its_range(fuzzed: Api, most: str) -> None:
    url = f"ws://127.0.0.1:{fuzzed.port}/test/blank/realtime?max_buffering={most}"
    with connect(url, additional_headers={"authorization": f"Key {fuzzed.key}"}) as socket:
        assert "max_buffering" in str(socket.recv(timeout=PATIENCE_SECONDS))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
