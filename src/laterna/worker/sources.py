"""Where adapters come from: users' URLs, files of this server, the operator's folder, a hub. All end on one shelf.

Fetching is done once however many ask at the same time, and again only where the source says that it has changed.
Neighbours: `fetching` calls this from threads of its own; the guarded fetcher reaches users' URLs.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import ip_network
from pathlib import Path

from laterna.clock import Clock
from laterna.contracts.generation import Lora
from laterna.contracts.loras import HUB, OWN, kind_of
from laterna.contracts.station import Adapters
from laterna.errors import FetchError, FetchTooLarge, MissingAdapter
from laterna.lora.index import Index, Seen
from laterna.lora.shelf import Shelf
from laterna.media.fetch import Fetcher, Version
from laterna.media.objects import MediaStore

FRESH_US = 60_000_000  # for so long a source is taken to be as it was
FETCH_SECONDS = 600.0


class Sources:
    """Safe to use from any thread."""

    def __init__(self, place: Adapters, shelf: Shelf, media: MediaStore, clock: Clock) -> None:
        self._place = place
        self._shelf = shelf
        self._media = media
        self._clock = clock
        self._index = Index(Path(place.cache) / "sources")
        self._fetcher = Fetcher(allow=tuple(ip_network(text) for text in place.fetch_allow))
        self._lock = threading.Lock()
        self._running: dict[str, Future[str]] = {}  # by source: those who ask meanwhile wait for the same

    def digest(self, lora: Lora) -> str:
        """The digest of the adapter, which is on the shelf then. Blocks.

        Raises MissingAdapter, UnreadableAdapter, FileNotFound or FetchError.
        """
        source = f"file:{lora.file}" if lora.file else lora.path
        with self._lock:
            running = self._running.get(source)
            mine = running is None
            if running is None:
                running = self._running[source] = Future()
        if mine:
            try:
                running.set_result(self._find(source, lora))
            except BaseException as error:
                running.set_exception(error)
                raise
            finally:
                with self._lock:
                    del self._running[source]
        return running.result()

    def _find(self, source: str, lora: Lora) -> str:
        seen = self._index.seen(source)
        if seen is not None and not self._shelf.has(seen.digest):
            seen = None
        kind = "file" if lora.file else kind_of(lora.path)
        if kind == "file":
            return self._of_file(source, lora.file, seen)
        if kind == "own":
            return self._of_operator(source, lora.path, seen)
        if seen is not None and self._clock.now_us() - seen.checked_us < FRESH_US:
            return seen.digest
        if kind == "url":
            return self._of_url(source, seen)
        if kind == "hub":
            return self._of_hub(source, seen)
        raise MissingAdapter(f"{lora.path!r} names no place that adapters come from")

    def _of_file(self, source: str, key: str, seen: Seen | None) -> str:
        """What was stored under a key never changes; it may be deleted."""
        self._check_size(self._media.size_sync(key), "the file")
        return seen.digest if seen else self._keep(source, lambda part: self._media.copy_sync(key, part))

    def _of_operator(self, source: str, path: str, seen: Seen | None) -> str:
        match = OWN.fullmatch(path)
        assert match is not None
        file = Path(self._place.own) / f"{match['name']}.safetensors"
        try:
            stat = file.stat()
        except OSError as error:
            raise MissingAdapter(f"this server has no adapter {path!r}; its operator can add it") from error
        version = {"stat": f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"}
        if seen is not None and seen.version == version:
            return seen.digest
        return self._keep(source, lambda part: shutil.copyfile(file, part), version)

    def _of_url(self, source: str, seen: Seen | None) -> str:
        known = Version(**seen.version) if seen is not None else Version()
        part, limit = self._shelf.scratch(), self._place.largest_bytes
        try:
            fetching = self._fetcher.refresh(source, part, known, limit_bytes=limit, timeout_s=FETCH_SECONDS)
            found = asyncio.run(fetching)
            if found is None:
                assert seen is not None
                return self._noted(source, seen.digest, seen.version)
            told = {"etag": found.version.etag, "last_modified": found.version.last_modified}
            version = {name: value for name, value in told.items() if value is not None}
            return self._noted(source, self._shelf.put(part), version)
        finally:
            part.unlink(missing_ok=True)

    def _of_hub(self, source: str, seen: Seen | None) -> str:
        from laterna.lora.hub import download, locate

        match = HUB.fullmatch(source)
        assert match is not None
        try:
            located = locate(match["repo"], match["file"])
        except FetchError:
            if seen is None:
                raise
            return seen.digest  # the hub is away; what it gave last still is
        version = {"commit": located.commit, "file": located.file}
        if seen is not None and seen.version == version:
            return self._noted(source, seen.digest, version)
        folder = self._shelf.scratch()
        folder.mkdir()
        try:
            path, config = download(located, folder, self._place.largest_bytes)
            return self._keep(source, path.replace, version, config)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _keep(
        self,
        source: str,
        write: Callable[[Path], object],
        version: dict[str, str] | None = None,
        config: bytes | None = None,
    ) -> str:
        """Put what `write` writes onto the shelf."""
        part = self._shelf.scratch()
        try:
            write(part)
            self._check_size(part.stat().st_size, source)
            return self._noted(source, self._shelf.put(part, config), version or {})
        finally:
            part.unlink(missing_ok=True)

    def _noted(self, source: str, digest: str, version: dict[str, str]) -> str:
        self._index.note(source, Seen(digest=digest, version=version, checked_us=self._clock.now_us()))
        return digest

    def _check_size(self, size: int, what: str) -> None:
        limit = self._place.largest_bytes
        if size > limit:
            raise FetchTooLarge(f"{what} has {size} bytes; an adapter may have {limit} (setting lora_mb)")
