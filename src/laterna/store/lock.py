"""One server per data folder: a lock file held while the store is open, naming the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from laterna.errors import ConfigError

FILE = "laterna.lock"
LOOKS = 20  # times that `take` tries: who asks for the holder has the lock for a moment
LOOK_SECONDS = 0.01


class FolderLock:
    """Held from `take` until `free`, or until the process ends, however it ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Raises ConfigError where another process holds the folder."""
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(handle, fcntl.LOCK_EX, LOOKS):
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise ConfigError(
                f"the data folder {folder} is in use by process {holder}; stop it, or choose another folder with --data"
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return cls(handle)

    @classmethod
    def holder(cls, folder: Path) -> int | None:
        """The process that holds the folder, 0 while it has not said which; None when nobody does."""
        try:
            handle = os.open(folder / FILE, os.O_RDONLY)
        except OSError:
            return None
        try:
            if _locked(handle, fcntl.LOCK_SH, 1):
                return None
            text = os.pread(handle, 32, 0).decode(errors="replace")
            return int(text) if text.isdecimal() else 0
        finally:
            os.close(handle)

    def free(self) -> None:
        os.close(self._handle)


def _locked(handle: int, kind: int, tries: int) -> bool:
    for attempt in range(tries):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt < tries - 1:
                time.sleep(LOOK_SECONDS)
    return False
