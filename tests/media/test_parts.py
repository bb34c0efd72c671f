import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laterna.errors import FileNotFound, InvalidInput, PayloadTooLarge
from laterna.media.objects import MediaStore, new_key
from laterna.media.parts import MAX_PARTS, Part, Parts

pytestmark = pytest.mark.anyio


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


async def test_parts_join_in_order_whatever_order_they_come_in(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path), new_key()
    parts, contents = Parts(media), {number: os.urandom(random.randrange(1, 200_000)) for number in (1, 2, 3, 10, 1000)}
    etags = await asyncio.gather(*(parts.put(key, number, data) for number, data in contents.items()))
    sent = [Part(number=number, etag=etag) for number, etag in zip(contents, etags, strict=True)]
    assert await parts.size(key) == sum(map(len, contents.values()))
    random.shuffle(sent)
    size = await parts.complete(key, sent, limit_bytes=1 << 30)
    assert await media.get(key) == b"".join(contents.values())
    assert size == await media.size(key)
    assert files(tmp_path) == [key]


async def test_a_part_sent_again_replaces_the_first(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path), new_key()
    parts = Parts(media)
    first, again, other = [await parts.put(key, 1, data) for data in (b"old", b"old", b"new")]
    assert first == again != other
    await parts.complete(key, [Part(number=1, etag=f'"{other}"')], limit_bytes=9)
    assert await media.get(key) == b"new"


async def test_what_was_not_sent_cannot_be_joined(tmp_path: Path) -> None:
    media, key = MediaStore(tmp_path), new_key()
    parts = Parts(media)
    part = Part(number=1, etag=await parts.put(key, 1, b"abc"))
    wrong = [
        Part(number=2, etag=part.etag),
        Part(number=1, etag="0" * 32),
        Part(number=1, etag="../x"),
        Part(number=0, etag=part.etag),
    ]
    for sent in ([], [part, part], *([part, item] for item in wrong[:1]), *([item] for item in wrong)):
        with pytest.raises(InvalidInput, match="parts"):
            await parts.complete(key, sent, limit_bytes=9)
    with pytest.raises(PayloadTooLarge):
        await parts.complete(key, [part], limit_bytes=2)
    with pytest.raises(FileNotFound):
        await media.size(key)
    await parts.complete(key, [part], limit_bytes=3)
    assert await media.get(key) == b"abc"


@pytest.mark.parametrize("number", [0, -1, MAX_PARTS + 1])
async def test_numbers_have_a_range(tmp_path: Path, number: int) -> None:
    with pytest.raises(InvalidInput, match=str(MAX_PARTS)):
        await Parts(MediaStore(tmp_path)).put(new_key(), number, b"x")


async def test_only_keys_are_accepted(tmp_path: Path) -> None:
    parts = Parts(MediaStore(tmp_path))
    for call in (
        parts.put("../x", 1, b"x"),
        parts.size("../x"),
        parts.complete("../x", [], limit_bytes=9),
        parts.abort(".."),
    ):
        with pytest.raises(FileNotFound):
            await call
    assert files(tmp_path) == []


async def test_abort_and_sweep_forget_what_was_begun(tmp_path: Path) -> None:
    media, kept, aborted, stale = MediaStore(tmp_path), new_key(), new_key(), new_key()
    parts = Parts(media)
    await media.put(kept, b"kept")
    for key in (aborted, stale):
        await parts.put(key, 1, b"x")
    (tmp_path / kept[:2] / f"{kept}#1").write_bytes(b"left by a process that died")
    await parts.abort(aborted)
    assert len(files(tmp_path)) == 3
    assert await parts.sweep(round((time.time() - 60) * 1e6)) == 0
    assert await parts.sweep(round((time.time() + 60) * 1e6)) == 2
    assert files(tmp_path) == [kept]


LARGE = """
import asyncio, resource, sys
from pathlib import Path
from laterna.media.objects import MediaStore, new_key
from laterna.media.parts import Part, Parts

async def main():
    media, key, piece = MediaStore(Path(sys.argv[1])), new_key(), bytes(10 << 20)
    parts = Parts(media)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = [Part(number=number, etag=await parts.put(key, number, piece)) for number in range(1, 25)]
    assert await parts.complete(key, sent, limit_bytes=1 << 30) == 240 << 20
    read = 0
    async for chunk in (await media.stream(key)).chunks:
        read += len(chunk)
    assert read == 240 << 20
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


def test_a_large_upload_is_never_held_in_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 100, "MiB of memory for an upload of 240 MiB"
