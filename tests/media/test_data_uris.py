import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.errors import FetchError, FetchTooLarge
from laterna.media.data_uris import decode_data_uri


@given(st.binary(max_size=200))
def test_base64_round_trip(content: bytes) -> None:
    uri = "data:image/PNG;base64," + base64.b64encode(content).decode()
    assert decode_data_uri(uri, limit_bytes=200) == ("image/png", content)


def test_other_forms() -> None:
    assert decode_data_uri("data:,a%20b", limit_bytes=9) == ("text/plain", b"a b")
    assert decode_data_uri("DATA:text/html;charset=utf-8,x", limit_bytes=9) == ("text/html", b"x")
    assert decode_data_uri("data:a/b;x=y;base64,QUI%3D", limit_bytes=9) == ("a/b", b"AB")


@pytest.mark.parametrize(
    "uri", ["data:", "data:image/png;base64", "data:image,x", "data:a/b;base64,Q", "data:a/b;base64,*"]
)
def test_unreadable(uri: str) -> None:
    with pytest.raises(FetchError):
        decode_data_uri(uri, limit_bytes=100)


@pytest.mark.parametrize("body", ["x" * 11, "x" * 1000, "%41" * 11])
def test_too_large(body: str) -> None:
    with pytest.raises(FetchTooLarge):
        decode_data_uri("data:," + body, limit_bytes=10)
