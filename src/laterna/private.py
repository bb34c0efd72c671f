"""Folders and files that only their owner may read. Whatever keeps a secret or a certificate writes it by these."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def private_folder(path: Path) -> None:
    """Make the folder where it is missing, and take away what others may do there.

    Another user's folder is left as its owner wants it. Raises OSError where it cannot be made, or is shared by all (as
    /tmp is), whose mode must not change.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    if found.st_mode & stat.S_ISVTX:
        raise PermissionError(f"{path} is a folder for everybody; name one of its own inside it")
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        path.chmod(found.st_mode & 0o700)


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Whoever makes what is missing in a folder, one process after another: waits for the lock of this file."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_private(path: Path) -> str | None:
    """The file's text without the newline at its end; None where there is no such file."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace the file in one step, with its mode at every moment, and on the disk when this returns."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
