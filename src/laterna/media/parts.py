"""Uploads in parts, in any order and in parallel, joined into one object at the end.

Parts lie beside the objects under the key that they will become, named by number and digest: a part that is sent twice
is kept once, and what is joined is what the client says it sent. Neighbour: `objects`, which holds the result.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import obstore

from laterna.errors import InvalidInput, Problem
from laterna.media.objects import PIECE, MediaStore, object_path, reached, too_large

MAX_PARTS = 10_000
FOLDER = "parts"
_ETAG = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part as its sender names it."""

    number: int  # 1 to MAX_PARTS: its place
    etag: str  # what `put` answered


class Parts:
    """Unfinished uploads of one store. Raises FileNotFound for what is no key."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media
        self._store = media.store

    async def put(self, key: str, number: int, data: bytes) -> str:
        """Keep one part and return its etag (32 hex digits). Raises InvalidInput for a number out of range."""
        if not 1 <= number <= MAX_PARTS:
            raise _problem(("path", "partNumber"), f"part numbers go from 1 to {MAX_PARTS}", number)
        etag = hashlib.blake2b(data, digest_size=16).hexdigest()
        with reached():
            await obstore.put_async(self._store, _path(key, Part(number=number, etag=etag)), data)
        return etag

    async def size(self, key: str) -> int:
        """Bytes kept for a key so far, so that a sender cannot exceed the limit part by part."""
        with reached():
            return await asyncio.to_thread(lambda: sum(int(item["size"]) for item in self._listed(_folder(key))))

    async def complete(self, key: str, parts: Sequence[Part], *, limit_bytes: int) -> int:
        """Join the parts by number and return the size in bytes; the parts are gone afterwards.

        Raises InvalidInput for parts that were not sent, PayloadTooLarge above the limit; the parts are kept then.
        """
        target, ordered = object_path(key), sorted(parts, key=lambda part: part.number)
        with reached():
            size = await asyncio.to_thread(self._checked_size, key, ordered)
            if size > limit_bytes:
                raise too_large(limit_bytes)
            await obstore.put_async(self._store, target, self._joined(key, ordered), max_concurrency=2)
            await asyncio.to_thread(self._media.harden, target)
            await self.abort(key)
        return size

    async def abort(self, key: str) -> None:
        """Forget the parts of an upload."""
        await asyncio.to_thread(self._forget, _folder(key))

    async def sweep(self, before_us: int) -> int:
        """Count and forget what was begun and never finished, last written before that time (UTC microseconds)."""
        return await asyncio.to_thread(self._sweep, before_us / 1e6)

    def _checked_size(self, key: str, parts: Sequence[Part]) -> int:
        if not parts or len({part.number for part in parts}) < len(parts):
            raise _problem(("body", "parts"), "name every part once", len(parts))
        return sum(self._size(key, part) for part in parts)

    def _size(self, key: str, part: Part) -> int:
        try:
            return int(obstore.head(self._store, _path(key, part))["size"])
        except FileNotFoundError as error:
            raise _problem(
                ("body", "parts", part.number), "this part was not sent; send it again", part.etag
            ) from error

    async def _joined(self, key: str, parts: Sequence[Part]) -> AsyncIterator[bytes]:
        for part in parts:
            found = await obstore.get_async(self._store, _path(key, part))
            async for chunk in found.stream(min_chunk_size=PIECE):
                yield bytes(chunk)

    def _listed(self, prefix: str) -> list[obstore.ObjectMeta]:
        return [item for page in obstore.list(self._store, prefix) for item in page]

    def _forget(self, prefix: str) -> None:
        for item in self._listed(prefix):
            obstore.delete(self._store, item["path"])

    def _sweep(self, before_s: float) -> int:
        if self._media.folder is None:
            return self._sweep_bucket(before_s)
        # A process that dies while it writes leaves `name#1` behind, which obstore itself neither lists nor removes.
        begun = [*self._media.folder.rglob("*#*"), *(self._media.folder / FOLDER).rglob("*-*")]
        return sum(_drop_if_older(path, before_s) for path in begun)

    def _sweep_bucket(self, before_s: float) -> int:
        old = [item["path"] for item in self._listed(FOLDER) if item["last_modified"].timestamp() < before_s]
        for path in old:
            obstore.delete(self._store, path)
        return len(old)


def _drop_if_older(path: Path, before_s: float) -> bool:
    """Whether it was dropped; one that is gone meanwhile was finished by its writer."""
    try:
        old = path.stat().st_mtime < before_s
    except FileNotFoundError:
        return False
    if old:
        path.unlink(missing_ok=True)
    return old


def _folder(key: str) -> str:
    return f"{FOLDER}/{object_path(key)}"


def _path(key: str, part: Part) -> str:
    etag = part.etag.strip('"')
    if _ETAG.fullmatch(etag) is None or not 1 <= part.number <= MAX_PARTS:
        raise _problem(("body", "parts", part.number), "this is no part that was sent", part.etag[:80])
    return f"{_folder(key)}/{part.number:05}-{etag}"


def _problem(loc: tuple[str | int, ...], msg: str, value: object) -> InvalidInput:
    return InvalidInput(Problem(loc=loc, msg=msg, input=value))
