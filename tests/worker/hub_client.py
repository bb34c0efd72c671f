"""Fetches adapters in a process of its own, as `huggingface_hub` reads its environment when it is imported.

Prints a line of JSON for each path: content and configuration, or the error's class.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from laterna.clock import SystemClock
from laterna.contracts.generation import Lora
from laterna.contracts.station import Adapters
from laterna.errors import LaternaError
from laterna.lora.shelf import Shelf
from laterna.media.objects import MediaStore
from laterna.worker import sources
from laterna.worker.sources import Sources

LIMIT = 10_000  # bytes


def main(folder: Path, *paths: str) -> None:
    sources.FRESH_US = 0  # a second process asks the hub again
    shelf = Shelf(folder / "cache", 100 * LIMIT)
    place = Adapters(
        own=str(folder),
        cache=str(folder / "cache"),
        largest_bytes=LIMIT,
        cache_bytes=100 * LIMIT,
        memory_bytes=LIMIT,
    )
    found = Sources(place, shelf, MediaStore(folder / "media"), SystemClock())
    for path in paths:
        print(json.dumps(answer(found, shelf, path)), flush=True)


def answer(found: Sources, shelf: Shelf, path: str) -> dict[str, str]:
    try:
        file, config = shelf.take(found.digest(Lora(path=path)))
    except LaternaError as error:
        return {"error": type(error).__name__, "message": error.message}
    return {"content": file.read_text(), "config": config.read_text() if config else ""}


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
