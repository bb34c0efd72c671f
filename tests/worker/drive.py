"""A real worker process over its real link, driven by a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from laterna.contracts.frames import pack, server_reader
from laterna.contracts.generation import ModelRef, TextToImage
from laterna.contracts.messages import Assign, Beat, Failed, Finished, FromWorker, Lease, Ready, Stop, ToWorker
from laterna.contracts.station import Station

M = TypeVar("M", bound=FromWorker)
PATIENCE_SECONDS = 60.0


class Driven:
    """One process, and all that it said."""

    def __init__(self, folder: Path, **places: Any) -> None:
        self.folder = folder
        self.media = folder / "media"
        self.costs = folder / "costs-cpu.json"
        self.heard: list[FromWorker] = []
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE_SECONDS)
        station = Station(name="w", device="cpu", media=str(self.media), state=str(folder), **{"threads": 1, **places})
        command = [sys.executable, "-m", "laterna.worker", str(theirs.fileno()), msgspec.json.encode(station).decode()]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self._reader = server_reader()

    def send(self, message: ToWorker) -> None:
        self.ours.sendall(pack(message))

    def until(self, kind: type[M], about: Lease | None = None, holds: Callable[[M], bool] = lambda _: True) -> M:
        """The next message of that kind, about that lease, that is so. Raises TimeoutError: beats never end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            message = self._reader.read(self.ours)
            self.heard.append(message)
            if isinstance(message, kind) and about in (None, getattr(message, "lease", None)) and holds(message):
                return message
        raise TimeoutError(f"no {kind} in {PATIENCE_SECONDS:.0f} s; heard: {self.heard[-20:]}")

    def end(self) -> Finished | Failed:
        """The next end of any."""
        return self.until(Finished | Failed)  # type: ignore[arg-type]

    def ended(self, about: Lease) -> Finished | Failed:
        return self.until(Finished | Failed, about)  # type: ignore[arg-type]

    def about(self, lease: Lease) -> list[FromWorker]:
        return [message for message in self.heard if getattr(message, "lease", None) == lease]

    def idle(self) -> None:
        """Wait until a beat names no lease."""
        self.until(Beat, holds=lambda beat: not beat.leases)

    def stop(self) -> int:
        """Ask it to end, hear the rest; its exit status."""
        self.send(Stop())
        try:
            while True:
                self.heard.append(self._reader.read(self.ours))
        except EOFError:
            return self.process.wait(PATIENCE_SECONDS)

    def files(self) -> set[str]:
        """Names of all that lies in the media store."""
        return {path.name for path in self.media.rglob("*") if path.is_file()}

    def break_store(self) -> None:
        """Nothing can be stored from now on: where the folder was lies a file."""
        shutil.rmtree(self.media)
        self.media.write_text("no folder")

    def mend_store(self) -> None:
        self.media.unlink()
        self.media.mkdir()


@contextmanager
def worker(folder: Path, **places: Any) -> Iterator[Driven]:
    """`places`: further fields of its station."""
    driven = Driven(folder, **places)
    try:
        driven.until(Ready)
        yield driven
    finally:
        driven.process.kill()
        driven.process.wait()
        driven.ours.close()


def order(name: str, step_seconds: float = 0.0, family: str = "blank", **changes: Any) -> Assign:
    given: dict[str, Any] = {"width": 64, "height": 64, "steps": 3, "sampler": "euler", "seed": 1, "prompt": "x"}
    model = ModelRef(
        id=f"test/{family}-{step_seconds}",  # a model that is in memory is not loaded anew
        revision="1",
        family=family,
        weights="builtin:none",
        resident_bytes=1,
        settings={"step_seconds": step_seconds},
    )
    lease = Lease(request_id=name, token=f"token-{name}")
    job = TextToImage(**{**given, **changes})
    return Assign(lease=lease, model=model, generation=job, tenant="t", priority=1, created_us=0)
