import asyncio
import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from laterna.errors import FileNotFound, PayloadTooLarge, Unavailable
from laterna.media.objects import MediaStore, is_key, new_key, object_path

pytestmark = pytest.mark.anyio

NO_KEYS = ["", "..", "../../etc/passwd", "/etc/passwd", "a" * 31, "a" * 33, "A" * 32, "a" * 30 + "/b", "a" * 31 + "\n"]
NO_KEYS += ["a" * 31 + "\x00", "%2e" * 10 + "aa", "0" * 32, "ａ" * 32, ("a" * 32) + "#1", "parts/" + "a" * 26]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_keys_are_random_and_names_of_nothing_else() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(is_key(key) for key in keys)
    # Every character takes each of its 32 values: 32 x 5 = 160 bits.
    assert all(len({key[place] for key in keys}) == 32 for place in range(32))


@pytest.mark.parametrize("key", NO_KEYS)
async def test_nothing_but_keys_is_accepted(tmp_path: Path, key: str) -> None:
    media = MediaStore(tmp_path / "media")
    for call in (media.put(key, b"x"), media.get(key), media.stream(key), media.size(key), media.delete(key)):
        with pytest.raises(FileNotFound):
            await call
    with pytest.raises(FileNotFound):
        await media.put_stream(key, pieces(b"x"), limit_bytes=9)
    assert os.listdir(tmp_path) == ["media"]
    assert os.listdir(tmp_path / "media") == []


@given(st.text())
def test_paths_stay_inside(text: str) -> None:
    try:
        path = object_path(text)
    except FileNotFound:
        return
    assert path == f"{text[:2]}/{text}"
    assert text.isalnum()


async def test_put_get_size_delete(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path / "media"), new_key()
    await media.put(key, b"hello")
    assert await media.get(key) == media.get_sync(key) == b"hello"
    assert await media.size(key) == media.size_sync(key) == 5
    media.put_sync(key, b"")
    assert await media.get(key) == b""
    assert MediaStore(tmp_path / "media").get_sync(key) == b""
    await media.delete(key)
    media.delete_sync(key)
    for call in (media.get(key), media.size(key), media.stream(key)):
        with pytest.raises(FileNotFound, match=key):
            await call


def test_the_folder_is_private(tmp_path: Path) -> None:
    MediaStore(tmp_path / "a" / "media")
    assert stat.S_IMODE((tmp_path / "a" / "media").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 0), (0, 1), (7, 9), (3_000_000, None), (2_999_999, 3_000_000)]
)
async def test_ranges(tmp_path: Path, start: int, stop: int | None) -> None:
    media, key, content = MediaStore(tmp_path), new_key(), os.urandom(3_000_000)
    await media.put(key, content)
    part = await media.stream(key, start=start, stop=stop)
    assert b"".join([chunk async for chunk in part.chunks]) == content[start:stop]
    assert (part.size_bytes, part.start, part.stop) == (len(content), start, len(content) if stop is None else stop)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (4, None), (2, 1), (0, 4)])
async def test_ranges_outside(tmp_path: Path, start: int, stop: int | None) -> None:
    media, key = MediaStore(tmp_path), new_key()
    await media.put(key, b"abc")
    with pytest.raises(ValueError, match="of 3"):
        await media.stream(key, start=start, stop=stop)


async def test_put_stream_counts_and_digests(tmp_path: Path) -> None:
    media, key, content = MediaStore(tmp_path), new_key(), os.urandom(7_000_001)
    cuts = [content[at : at + 999_999] for at in range(0, len(content), 999_999)]
    stored = await media.put_stream(key, pieces(*cuts), limit_bytes=len(content))
    assert (stored.size_bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await media.get(key) == content
    empty = await media.put_stream(key, pieces(), limit_bytes=0)
    assert (empty.size_bytes, await media.get(key)) == (0, b"")


async def test_put_stream_keeps_nothing_of_what_fails(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(6_000_000)
        raise ConnectionResetError

    media, key = MediaStore(tmp_path), new_key()
    with pytest.raises(PayloadTooLarge, match="9999999 bytes"):
        await media.put_stream(key, pieces(bytes(6_000_000), bytes(4_000_000)), limit_bytes=9_999_999)
    with pytest.raises(ConnectionResetError):
        await media.put_stream(key, broken(), limit_bytes=9_999_999)
    with pytest.raises(FileNotFound):
        await media.size(key)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # noqa: ASYNC240


async def test_a_folder_that_cannot_be_used_is_the_servers_trouble_and_its_place_no_secret_told(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path / "media"), new_key()
    (tmp_path / "media").rmdir()
    (tmp_path / "media").write_bytes(b"not a folder")
    with capture_logs() as lines:
        for call in (media.put(key, b"x"), media.put_stream(key, pieces(b"x"), limit_bytes=9)):
            with pytest.raises(Unavailable, match="try again") as refused:
                await call
            assert str(tmp_path) not in refused.value.message
    assert [str(tmp_path) in line["error"] for line in lines] == [True, True]


async def test_readers_see_one_whole_object_while_it_is_replaced(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path), new_key()
    versions = [bytes([number]) * 400_000 for number in range(20)]
    await media.put(key, versions[0])

    async def read() -> None:
        for _ in range(60):
            found = await media.get(key)
            assert len(set(found)) == 1
            assert len(found) == 400_000

    async def write() -> None:
        for version in versions:
            await media.put(key, version)

    await asyncio.gather(read(), write())


WRITER = """
import sys
from pathlib import Path
from laterna.media.objects import MediaStore, new_key
media = MediaStore(Path(sys.argv[1]))
while True:
    key = new_key()
    print(key, flush=True)
    media.put_sync(key, key.encode() * 250_000)
    print("done", flush=True)
"""


def test_a_killed_writer_leaves_whole_objects_or_none(tmp_path: Path) -> None:
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline().strip() for _ in range(5)]  # the third object has been begun
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        media = MediaStore(tmp_path)
        for key, following in zip(lines, [*lines[1:], ""], strict=True):
            if is_key(key):
                try:
                    assert media.get_sync(key) == key.encode() * 250_000
                except FileNotFound:
                    assert following != "done"
