"""What lay where: the digest that a source had when it was last looked at, kept on disk beside the shelf.

A source is a text that names a place; what tells its versions apart is the source's own affair.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

KEPT_SECONDS = 30 * 86_400.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a source."""

    digest: str  # of the adapter that was there
    version: dict[str, str] = {}  # what the source tells its versions apart by
    checked_us: int = 0  # when it was last known to be so, UTC microseconds


class Index:
    """A folder with a small file for each source. Several workers may share it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._sweep()

    def seen(self, source: str) -> Seen | None:
        """The last look; None where there was none, or where its record cannot be read."""
        try:
            return msgspec.json.decode(self._path(source).read_bytes(), type=Seen)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return None

    def note(self, source: str, seen: Seen) -> None:
        path = self._path(source)
        part = path.with_suffix(f".{os.urandom(6).hex()}")
        part.write_bytes(msgspec.json.encode(seen))
        part.replace(path)

    def _sweep(self) -> None:
        """Sources that nobody has named for long are forgotten."""
        before = time.time() - KEPT_SECONDS
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _path(self, source: str) -> Path:
        return self._folder / f"{hashlib.sha256(source.encode()).hexdigest()}.json"
