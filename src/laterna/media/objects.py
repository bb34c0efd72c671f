"""Stored bytes by key: outputs and uploads, in a folder or a bucket of an S3-compatible store, through obstore.

Keys are made here, at random, and nothing else is accepted as one, so that a key is a capability and can name no path.
What a stored object is (content type, owner, expiry) belongs to its row in the database. Every object appears whole or
not at all, and a finished `put` outlives a loss of power.

Methods are for async code; those named `_sync` are for threads and worker processes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from laterna.errors import ConfigError, FileNotFound, PayloadTooLarge, Unavailable

log = structlog.get_logger(__name__)

SIGNED = timedelta(hours=1)  # for which a signed address is good
AWAY = timedelta(minutes=3)  # for which a bucket may be while a worker waits for it
IMPATIENT = timedelta(seconds=15)  # the same while a client does
LISTED = 500  # objects that a listing gives at a time
PIECE = 1 << 20  # bytes of a streamed piece, at least
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
SHELVES = tuple(first + second for first in ALPHABET for second in ALPHABET)  # folders that objects lie in, evenly
_KEY = re.compile(r"[a-z2-7]{32}", re.ASCII)


def new_key() -> str:
    """A fresh key: 160 random bits as 32 characters, the same on file systems that ignore case."""
    return base64.b32encode(secrets.token_bytes(20)).decode().lower()


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def object_path(key: str) -> str:
    """Where an object lies below the store's root. Raises FileNotFound for anything that `new_key` cannot have made."""
    if not is_key(key):
        raise FileNotFound(f"there is no file {key[:80]!r}")
    return f"{key[:2]}/{key}"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What `put_stream` has written."""

    size_bytes: int
    sha256: str  # hex digest


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Part of an object, on its way."""

    size_bytes: int  # of the whole object
    start: int  # first byte
    stop: int  # one past the last byte
    chunks: AsyncIterator[bytes]


class MediaStore:
    """Objects in a folder or a bucket. Raises FileNotFound where a key names nothing.

    What async code calls raises Unavailable where the folder or the bucket cannot be used.
    """

    def __init__(self, place: Path | str, away: timedelta = AWAY) -> None:
        """A folder, which is made, or `s3://bucket/prefix`; the AWS_* variables say how to get in.

        `away`: for how long a bucket that does not answer is asked again. Raises ConfigError for a bucket's URL that is
        none.
        """
        self.folder: Path | None = None  # absent: it is a bucket
        if isinstance(place, str) and "://" in place:
            self.store: ObjectStore = _bucket(place, away)
            return
        self.folder = Path(place)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = LocalStore(self.folder)

    async def put(self, key: str, data: bytes) -> None:
        with reached():
            await asyncio.to_thread(self.put_sync, key, data)

    def put_sync(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """`content_type`: as which a bucket gives it out."""
        path = object_path(key)
        typed = content_type is not None and self.folder is None
        obstore.put(self.store, path, data, attributes={"Content-Type": str(content_type)} if typed else None)
        self.harden(path)

    def signed_url(self, key: str) -> str | None:
        """Where whoever has the address may read it for SIGNED; None for a folder."""
        if not isinstance(self.store, S3Store):
            return None
        return str(obstore.sign(self.store, "GET", object_path(key), SIGNED))

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes], *, limit_bytes: int) -> Stored:
        """Store what arrives, piece by piece. Raises PayloadTooLarge above the limit, and whatever `chunks` raises;
        nothing is kept then.
        """
        path = object_path(key)
        digest = hashlib.sha256()
        size = 0

        theirs: list[Exception] = []  # what `chunks` raised

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit_bytes:
                        raise too_large(limit_bytes)
                    digest.update(chunk)
                    yield chunk
            except Exception as error:
                theirs.append(error)
                raise

        with reached(theirs):
            await obstore.put_async(self.store, path, counted(), max_concurrency=2)
            await asyncio.to_thread(self.harden, path)
        return Stored(size_bytes=size, sha256=digest.hexdigest())

    async def get(self, key: str) -> bytes:
        with reached():
            return await asyncio.to_thread(self.get_sync, key)

    def get_sync(self, key: str) -> bytes:
        try:
            return bytes(obstore.get(self.store, object_path(key)).bytes())
        except FileNotFoundError as error:
            raise _missing(key) from error

    def copy_sync(self, key: str, path: Path) -> None:
        """Write the object to a new file."""
        try:
            found = obstore.get(self.store, object_path(key))
        except FileNotFoundError as error:
            raise _missing(key) from error
        with path.open("xb") as file:
            for piece in found.stream(min_chunk_size=PIECE):
                file.write(bytes(piece))

    async def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Slice:
        """Bytes `start` to `stop` (exclusive, None: the end). ValueError for a range that lies outside the object."""
        size = await self.size(key)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError(f"bytes {start} to {stop} of {size}")
        return Slice(size_bytes=size, start=start, stop=stop, chunks=self._chunks(key, start, stop))

    async def _chunks(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        if start == stop:  # obstore refuses empty ranges
            return
        with reached():
            try:
                found = await obstore.get_async(self.store, object_path(key), options={"range": (start, stop)})
            except FileNotFoundError as error:
                raise _missing(key) from error
            async for chunk in found.stream(min_chunk_size=PIECE):
                yield bytes(chunk)

    async def size(self, key: str) -> int:
        with reached():
            return await asyncio.to_thread(self.size_sync, key)

    def size_sync(self, key: str) -> int:
        try:
            return int(obstore.head(self.store, object_path(key))["size"])
        except FileNotFoundError as error:
            raise _missing(key) from error

    async def delete(self, key: str) -> None:
        with reached():
            await asyncio.to_thread(self.delete_sync, key)

    def delete_sync(self, key: str) -> None:
        """Forget an object; one that is gone already is no error."""
        try:
            obstore.delete(self.store, object_path(key))
        except FileNotFoundError:
            return

    async def older(self, shelf: str, before_us: int) -> AsyncIterator[list[str]]:
        """Keys on one of the SHELVES that were last written before that time (UTC microseconds), some at a time."""
        async for page in obstore.list(self.store, shelf, chunk_size=LISTED):
            old = [item["path"] for item in page if item["last_modified"].timestamp() * 1e6 < before_us]
            yield [key for path in old if is_key(key := path.rpartition("/")[2])]

    def harden(self, path: str) -> None:
        """Force an object and its name to the disk: a settled request must not lose its picture with the power."""
        if self.folder is None:  # a bucket has it once it says so
            return
        _sync(self.folder / path)
        _sync((self.folder / path).parent)
        _sync(self.folder)


@contextmanager
def reached(theirs: Sequence[Exception] = ()) -> Iterator[None]:
    """Raises Unavailable for the store's own trouble: a full disk, a bucket that does not answer.

    `theirs`: what went wrong with what was to be stored, if anything did: that is raised as it is.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        if theirs:
            raise
        # The reason names paths and hosts of the operator's: it is for the log, not for clients.
        log.error("the files' store cannot be used", error=str(error).strip().partition("\n")[0][:300])
        raise Unavailable("the files' store cannot be used at the moment; nothing was changed, try again") from error


def _bucket(url: str, away: timedelta) -> S3Store:
    wrong = f"files: {url[:200]!r} is no bucket that can be used; expected s3://name/prefix, and AWS_* variables"
    try:
        store = from_url(url, retry_config={"max_retries": 100, "retry_timeout": away})
    except (BaseError, ValueError) as error:
        raise ConfigError(f"{wrong}: {error}") from error
    if not isinstance(store, S3Store):
        raise ConfigError(wrong)
    return store


def too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the file is larger than the limit of {limit_bytes} bytes (setting upload_mb)")


def _missing(key: str) -> FileNotFound:
    return FileNotFound(f"there is no file {key!r}; it may have expired or been deleted")


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
