"""The local fleet: one worker process per device, started, watched and restarted; spoken to over a socket pair.

Knows nothing of requests: what a worker says is handed to `Hearer`, and so is its death. Restarts are delayed more and
more while a worker keeps dying young, and given up where they cannot help (no torch).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable
from importlib.util import find_spec
from typing import Protocol

import msgspec
import structlog

from laterna.contracts.fitting import misfit
from laterna.contracts.frames import pack, server_reader
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import VERSION, Beat, FromWorker, Ready, Stop, ToWorker
from laterna.contracts.station import NO_TORCH, Station
from laterna.errors import LaternaError, NoRunner

log = structlog.get_logger(__name__)

NO_PACKAGES = "no models can run here: install what they need with `pip install 'laterna[models]'`, then restart"
YOUNG_SECONDS = 10.0  # a worker that dies before is restarted with a delay
LONGEST_DELAY = 30.0
STOP_SECONDS = 10.0


class Hearer(Protocol):
    """Who hears the workers: dispatch."""

    async def heard(self, worker: str, message: FromWorker) -> None: ...

    async def lost(self, worker: str) -> None: ...


class LocalWorker:
    """One device's worker, through all its processes."""

    def __init__(self, station: Station, hearer: Hearer) -> None:
        self.name = station.name
        self.ready: Ready | None = None  # absent while there is no process that can work
        self.resident: tuple[str, ...] = ()
        self.problem: str | None = None  # why there is none; absent when all is well
        self.hopeless = False  # whether there will never be one
        self._station = station
        self._hearer = hearer
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = False
        self._condemned: str | None = None  # why the live process was killed; absent where it was not

    def send(self, message: ToWorker) -> None:
        """Say it to the process, if there is one; a lost message is made up for when its leases run out."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(pack(message))

    async def keep(self) -> None:
        """Run processes one after another until stopped."""
        loop, delay = asyncio.get_running_loop(), 0.0
        if find_spec("torch") is None:
            self._give_up()
            return
        while not self._stopping:
            begun, self._condemned = loop.time(), None
            try:
                status = await self._live()
                self.problem = self._condemned or f"the worker of {self._station.device} ended with status {status}"
            except OSError as error:  # no process, memory or file to be had: later, perhaps
                status, self.problem = None, f"the worker of {self._station.device} cannot be started: {error}"
            if self._stopping:
                return
            if status == NO_TORCH:
                self._give_up()
                return
            delay = min(LONGEST_DELAY, 2 * delay + 0.5) if loop.time() - begun < YOUNG_SECONDS else 0.0
            log.warning("no worker; starting another", worker=self.name, problem=self.problem, delay_s=delay)
            await asyncio.sleep(delay)

    async def stop(self) -> None:
        """Ask the process to end; end it after a while."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        self.send(Stop())
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _give_up(self) -> None:
        self.problem, self.hopeless = NO_PACKAGES, True
        log.error("worker cannot run", worker=self.name, problem=self.problem)

    def replace(self, reason: str) -> None:
        """End a process that lives but works no more; another is started and its requests go back to the queue."""
        self._condemned = reason
        self.kill()

    async def _live(self) -> int:
        """One process's life; returns its exit status. Raises OSError where none can be started."""
        ours, theirs = socket.socketpair()
        station = msgspec.json.encode(self._station).decode()
        command = [sys.executable, "-m", "laterna.worker", str(theirs.fileno()), station]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, pass_fds=[theirs.fileno()], start_new_session=True, stdin=asyncio.subprocess.DEVNULL
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            await self._listen(reader)
        finally:
            self.ready = None
            self._writer.close()
            self.kill()
            status = await self._process.wait()
            await self._told(self._hearer.lost(self.name))
        return status

    async def _listen(self, source: asyncio.StreamReader) -> None:
        frames = server_reader()
        while True:
            try:
                message = await frames.receive(source)
            except (EOFError, msgspec.DecodeError, msgspec.ValidationError) as error:
                log.debug("worker's stream ended", worker=self.name, reason=str(error))
                return
            if isinstance(message, Ready):
                if message.version != VERSION:
                    self.problem = f"worker speaks version {message.version}, the server {VERSION}"
                    return
                self.ready, self.problem = message, None
            elif isinstance(message, Beat):
                self.resident = tuple(message.resident)
            await self._told(self._hearer.heard(self.name, message), message)

    async def _told(self, hearing: Awaitable[None], message: FromWorker | None = None) -> None:
        """What the hearer cannot take in now (its store is busy) costs no worker: leases will run out."""
        try:
            await hearing
        except LaternaError as error:
            lease = getattr(message, "lease", None)
            about = {} if lease is None else {"request_id": lease.request_id}
            log.error("what a worker said was not kept", worker=self.name, error=error.message, **about)


class LocalFleet:
    """All workers of this machine."""

    def __init__(self, stations: list[Station], hearer: Hearer) -> None:
        self.workers = {station.name: LocalWorker(station, hearer) for station in stations}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(worker.keep(), name=name) for name, worker in self.workers.items()]

    async def watch(self) -> None:
        """Wait until no worker is kept any more; raises what broke the keeping of one."""
        await asyncio.gather(*self._tasks)

    def replace(self, name: str, reason: str) -> None:
        """Kill the worker of this name, which may hang in its device, and start another; `reason` is for people."""
        self.workers[name].replace(reason)

    async def stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problem(self) -> str | None:
        """Why nothing can be generated now; None while a worker is ready."""
        if any(worker.ready is not None for worker in self.workers.values()):
            return None
        return next((worker.problem for worker in self.workers.values() if worker.problem), "workers are starting")

    def refusal(self, model: ModelRef) -> LaternaError | None:
        """Why no worker will ever run the model; None while one may, which is unknown before all have started."""
        hopeful = [worker.ready for worker in self.workers.values() if not worker.hopeless]
        if not hopeful:
            return NoRunner(NO_PACKAGES)
        ready = [one for one in hopeful if one is not None]
        if len(ready) < len(hopeful):
            return None
        roomiest = max(ready, key=lambda one: one.memory_bytes / one.widens(model))
        return misfit(model, roomiest.memory_bytes, roomiest.widens(model))
