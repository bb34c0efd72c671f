"""Hostile JSON gets a short answer and costs nothing; a body that does not come is not waited for."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.api import bodies
from laterna.api.bodies import DEEPEST, parse_json
from laterna.api.errors import BadRequest
from tests.api.conftest import WAIT_SECONDS, Api

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_nothing_is_an_empty_object() -> None:
    assert parse_json(b"") == parse_json(b" \n") == {}


@pytest.mark.parametrize(
    "body",
    [b"{", b"nope", b"\xff\xfe", b"NaN", b"1e999", b'"\\ud800"', b"9" * 5000, b"[" * 1_000_000, b'{"a":' * 200_000,
     b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)],
)  # fmt: skip
def test_what_is_no_json_is_refused_briefly(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert len(caught.value.message) < 300


def test_the_deepest_allowed_passes() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        parse_json(body)
    except BadRequest as error:
        refused = error.message
        assert refused.startswith("the body is ")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/queue/test/blank", ""),
        ("/cdn/files/upload", ""),
        ("/openai/v1/images/generations", ""),
        ("/replicate/v1/predictions", ""),
        ("/replicate/v1/files", "Content-Type: multipart/form-data; boundary=b\r\n"),
    ],
)
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, headers: str, framing: str
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.2)
    before = api.call(kept(api))
    with socket.create_connection(("127.0.0.1", api.port), timeout=WAIT_SECONDS) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {api.key}\r\n{headers}{framing}\r\n\r\n"
        connection.sendall(head.encode() + (b"5\r\n--b\r\n\r\n" if "chunked" in framing else b"--b\r\n"))
        answer = connection.recv(65_536)
        while not answer.endswith(b"}"):
            answer += connection.recv(65_536)
    assert b" 408 " in answer.splitlines()[0]
    assert b"body_timeout" in answer.lower() or b"came too slowly" in answer
    assert api.call(kept(api)) == before


async def kept(api: Api) -> int:
    """Files in the media folder, begun ones too."""
    return sum(1 for path in api.settings.media.rglob("*") if path.is_file())


def test_a_slow_body_that_comes_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(bodies, "LEAST_RATE", 1.0)
    with socket.create_connection(("127.0.0.1", api.port), timeout=WAIT_SECONDS) as connection:
        body = b'{"prompt": "a fox"}'
        head = f"POST /queue/test/blank HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key {api.key}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.01)
        assert b" 200 " in connection.recv(65_536).splitlines()[0]
