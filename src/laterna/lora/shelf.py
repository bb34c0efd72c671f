"""Adapters on this machine's disk, by the digest of what they hold; the least recently used go when room is short.

Files appear whole or not at all, so that several workers may share a folder. Beside an adapter may lie the
configuration that PEFT wrote with it. Where adapters come from, the worker knows.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from laterna.errors import MissingAdapter

DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
FILE, CONFIG, PART = ".safetensors", ".json", ".part"
PIECE = 1 << 20  # bytes hashed at once
ABANDONED_SECONDS = 86_400.0  # longer than any fetch takes


class Shelf:
    """A folder of adapters."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """`budget_bytes`: what they may take together; the newest one stays whatever its size."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._budget = budget_bytes
        self._sweep()

    def has(self, digest: str) -> bool:
        return self._path(digest).exists()

    def take(self, digest: str) -> tuple[Path, Path | None]:
        """File and, where there is one, configuration; used now. Raises MissingAdapter when it is not there."""
        path = self._path(digest)
        try:
            os.utime(path)
        except FileNotFoundError as error:
            raise MissingAdapter(f"the adapter {digest[:12]} is no longer on this machine; ask again") from error
        config = path.with_suffix(CONFIG)
        return path, config if config.exists() else None

    def scratch(self) -> Path:
        """Where a file or a folder may be made before an adapter is put."""
        return self._folder / f"{os.urandom(12).hex()}{PART}"

    def put(self, scratch: Path, config: bytes | None = None) -> str:
        """Take a finished file over and say its digest."""
        digest = digest_of(scratch, config)
        path = self._path(digest)
        if config is not None:
            part = self.scratch()
            part.write_bytes(config)
            part.replace(path.with_suffix(CONFIG))
        scratch.replace(path)
        self._make_room(path)
        return digest

    def _path(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise MissingAdapter(f"{digest[:80]!r} is no adapter's digest")
        return self._folder / f"{digest}{FILE}"

    def _sweep(self) -> None:
        """What was being written when its worker died goes after a while."""
        before = time.time() - ABANDONED_SECONDS
        for path in self._folder.glob(f"*{PART}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _make_room(self, newest: Path) -> None:
        files = [(path.stat(), path) for path in self._folder.glob(f"*{FILE}")]
        used = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if used <= self._budget:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                path.with_suffix(CONFIG).unlink(missing_ok=True)
                used -= stat.st_size


def digest_of(path: Path, config: bytes | None = None) -> str:
    """SHA-256 of the file and, where there is one, of its configuration after it."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
    if config is not None:
        found.update(config)
    return found.hexdigest()
