"""One server per data folder: a lock file held while the store is open, naming the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from laterna.errors import ConfigError

FILE = "laterna.lock"


class FolderLock:
    """Held from `take` until `free`, or until the process ends, however it ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Raises ConfigError where another process holds the folder."""
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise ConfigError(
                f"the data folder {folder} is in use by process {holder}; stop it, or choose another folder with --data"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return cls(handle)

    def free(self) -> None:
        os.close(self._handle)
