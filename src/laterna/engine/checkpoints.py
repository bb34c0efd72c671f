"""Checkpoints: the newest snapshot of each running request, in files that outlive the worker.

Written atomically and without fsync by a thread of their own, the newest one winning where the disk is slow: the death
of a process loses no written file, losing power may. What cannot be written or read is no reason to fail: the request
then starts over. How often a request is saved follows from what saving was measured to cost.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import structlog

from laterna.engine.snapshot import Snapshot, decode, encode

log = structlog.get_logger(__name__)

SHARE = 0.005  # of the time that saving may take, all requests together
KEEP_SECONDS = 86_400.0  # a file that nobody came back to for so long goes at the next start
SETTLING_SECONDS = 30.0  # a finished request's file stays so long, should the server die before it settles
SUFFIX = ".state"


class Checkpoints:
    """One folder; workers of one data folder share it, so that any of them may go on with a request."""

    def __init__(self, folder: Path, period_s: float) -> None:
        """`period_s`: seconds between two saves of a request; 0 saves before every step and waits for it."""
        self._folder = folder
        self._period_s = period_s
        self._cost_s = 0.0  # CPU seconds of one save, running mean
        self._news = threading.Condition()
        self._waiting: dict[str, Snapshot] = {}
        self._leaving: dict[str, float] = {}  # request id -> monotonic second at which its file goes
        self._writing = False
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._thread = threading.Thread(target=self._write_all, name="checkpoints", daemon=True)
        self._thread.start()

    def interval_s(self, running: int) -> float:
        """Seconds from one save of a request to its next while so many are running."""
        return max(self._period_s, self._cost_s * running / SHARE) if self._period_s else 0.0

    def save(self, snapshot: Snapshot) -> None:
        """Have it written soon; at once where every step is to be saved."""
        with self._news:
            self._waiting[snapshot.lease.request_id] = snapshot
            self._leaving.pop(snapshot.lease.request_id, None)
            self._news.notify_all()
        if not self._period_s:
            self.flush()

    def find(self, request_id: str) -> Snapshot | None:
        """What was saved of it; None where nothing was, or the file is not whole."""
        with self._news:
            self._leaving.pop(request_id, None)
        try:
            return decode(self._path(request_id).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("a checkpoint cannot be used", request_id=request_id, error=str(error))
            return None

    def drop(self, request_id: str, after_s: float = 0.0) -> None:
        """Delete what was saved of it, now or after a while unless it is asked for again."""
        with self._news:
            self._waiting.pop(request_id, None)
            self._leaving[request_id] = time.monotonic() + after_s
            self._news.notify_all()

    def flush(self) -> None:
        """Wait until everything that was given is written."""
        with self._news:
            self._news.wait_for(lambda: not self._waiting and not self._writing)

    def close(self) -> None:
        """Write what waits, delete what is due, and end."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()

    def _write_all(self) -> None:
        while True:
            with self._news:
                while not self._something_to_do():
                    self._news.wait(self._until_next())
                gone = [name for name, when in self._leaving.items() if when <= time.monotonic()]
                for name in gone:
                    del self._leaving[name]
                request_id, snapshot = self._waiting.popitem() if self._waiting else ("", None)
                if self._closed and snapshot is None and not gone:
                    return
                self._writing = True
            for name in gone:
                self._delete(self._path(name))
            if snapshot is not None:
                self._write(request_id, snapshot)
            with self._news:
                self._writing = False
                self._news.notify_all()

    def _something_to_do(self) -> bool:
        return bool(self._waiting) or self._closed or self._until_next() == 0.0

    def _until_next(self) -> float | None:
        """Seconds until a file must go; None while none must."""
        return max(0.0, min(self._leaving.values()) - time.monotonic()) if self._leaving else None

    def _write(self, request_id: str, snapshot: Snapshot) -> None:
        begun = time.thread_time()
        new = self._folder / f"{request_id}.{os.getpid()}.new"
        try:
            with new.open("wb") as file:
                file.writelines(encode(snapshot))
            os.replace(new, self._path(request_id))
        except (OSError, RuntimeError) as error:
            log.warning("a checkpoint could not be written", request_id=request_id, error=str(error))
        cost = time.thread_time() - begun
        self._cost_s = cost if self._cost_s == 0.0 else 0.8 * self._cost_s + 0.2 * cost

    def _path(self, request_id: str) -> Path:
        return self._folder / f"{request_id}{SUFFIX}"

    def _sweep(self) -> None:
        """Delete what nobody came back to, and what a worker left half-written."""
        before = time.time() - KEEP_SECONDS
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    self._delete(path)

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a checkpoint could not be deleted", file=path.name, error=str(error))
