"""Files that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path


def read_private(path: Path) -> str | None:
    """The file's text without the newline at its end; None where there is no such file."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner alone at every moment, and on the disk when this returns."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
