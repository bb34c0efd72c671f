"""The media store in a bucket, on an S3-compatible server that runs beside the test."""

from __future__ import annotations

import asyncio
import hashlib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("moto.server")

from moto.server import ThreadedMotoServer

from laterna.errors import ConfigError, FileNotFound, PayloadTooLarge
from laterna.media.objects import MediaStore, new_key
from laterna.media.parts import Part, Parts


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def media(server: str, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    request = urllib.request.Request(f"{server}/pictures", data=b"", method="PUT")
    with urllib.request.urlopen(request):
        pass
    given = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1", "ENDPOINT_URL": server}
    for name, value in {**given, "ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return MediaStore("s3://pictures/of/laterna")


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1_000_000):
        yield data[start : start + 1_000_000]


def test_what_is_put_can_be_read_whole_and_in_parts_and_deleted(media: MediaStore) -> None:
    async def scene() -> None:
        key, data = new_key(), bytes(range(256)) * 30_000
        stored = await media.put_stream(key, pieces(data), limit_bytes=len(data))
        assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert await media.get(key) == data
        part = await media.stream(key, start=100, stop=5_000_000)
        assert b"".join([chunk async for chunk in part.chunks]) == data[100:5_000_000]
        assert [found async for page in media.older(key[:2], 2**60) for found in page] == [key]
        await media.delete(key)
        await media.delete(key)
        with pytest.raises(FileNotFound):
            await media.size(key)

    asyncio.run(scene())


def test_too_much_is_refused_and_nothing_kept(media: MediaStore) -> None:
    async def scene() -> None:
        key = new_key()
        with pytest.raises(PayloadTooLarge):
            await media.put_stream(key, pieces(bytes(8_000_000)), limit_bytes=7_000_000)
        with pytest.raises(FileNotFound):
            await media.get(key)

    asyncio.run(scene())


def test_parts_are_joined_and_unfinished_ones_swept(media: MediaStore) -> None:
    async def scene() -> None:
        parts, key, left = Parts(media), new_key(), new_key()
        etags = {number: await parts.put(key, number, bytes([number]) * 6_000_000) for number in (2, 1)}
        await parts.put(left, 1, b"left")
        await parts.complete(key, [Part(number=n, etag=e) for n, e in etags.items()], limit_bytes=20_000_000)
        assert await media.get(key) == b"\x01" * 6_000_000 + b"\x02" * 6_000_000
        assert await parts.sweep(0) == 0
        assert await parts.sweep(2**60) == 1

    asyncio.run(scene())


def test_an_address_that_was_signed_is_read_without_a_key_and_as_what_it_is(media: MediaStore) -> None:
    key = new_key()
    media.put_sync(key, b"picture", "image/png")
    address = media.signed_url(key)
    assert address is not None
    with urllib.request.urlopen(address) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"picture", "image/png")


@pytest.mark.parametrize("wrong", ["s3://", "ftp://a/b", "https://example.com/x"])
def test_what_is_no_bucket_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="files"):
        MediaStore(wrong)
