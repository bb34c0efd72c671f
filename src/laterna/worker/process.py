"""A worker: the loop around one engine in a process of its own.

Takes orders between two device calls, has their adapters fetched and finished pictures stored, and says what happened.
It beats once a second from a thread of its own, so that a long call or a large model being loaded costs no lease. It
ends when it is told to or when the server is gone; what it held is saved then, and goes back to the queue by the
server's doing.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from laterna.clock import Clock, SystemClock
from laterna.contracts.generation import Lora, ModelRef
from laterna.contracts.messages import (
    VERSION,
    Assign,
    Beat,
    Call,
    Cancel,
    Failed,
    Finished,
    FromWorker,
    Note,
    Observation,
    Progress,
    Ready,
    Stop,
    ToWorker,
    Watch,
)
from laterna.contracts.station import Station
from laterna.engine.checkpoints import SETTLING_SECONDS, Checkpoints
from laterna.engine.engine import Engine, Said
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.errors import ExecutionError, RequestCancelled
from laterna.families import load_family
from laterna.families.family import Family, Picture
from laterna.lora.library import Library
from laterna.lora.shelf import Shelf
from laterna.media.manifests import Manifests
from laterna.media.objects import MediaStore
from laterna.media.signatory import Signatory
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy, Shares
from laterna.worker.device import open_device
from laterna.worker.fetching import Fetching
from laterna.worker.link import Link
from laterna.worker.outputs import Outputs
from laterna.worker.sources import Sources

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
HANGS = 20  # a call that takes so many times its prediction hangs
FIRST_CALLS = 10  # times the least patience with a model's first calls, which may compile kernels
IDLE_SECONDS = 0.5
SAVE_NS = 30 * 1_000_000_000  # between two savings of what calls cost: so much of it is lost at most


class Worker:
    """The audience of its engine. The engine runs on the thread that calls `serve`."""

    def __init__(self, station: Station, link: Link, clock: Clock | None = None) -> None:
        clock = self._clock = clock or SystemClock()
        self._link = link
        self._station = station
        self._lock = threading.Lock()
        self._held: dict[str, Assign] = {}  # by token: whose leases the beats keep
        self._seen: list[Observation] = []
        self._over = threading.Event()
        self._device = open_device(station.device, station.memory_gb, station.threads, station.plans)
        self._costs = CostModel.load(station.costs_file)
        self._learned = False  # whether there are costs that are not saved
        self._saved_ns = 0  # when they last were, monotonic
        self._clock = clock
        manifests = Manifests(Signatory.open(station.signatory))
        self._outputs = Outputs(MediaStore(station.media), manifests, self._say, self._unstored)
        self._library, self._fetching = self._adapters(clock)
        self._families: WeakValueDictionary[str, Family] = WeakValueDictionary()
        device, policy = self._device, Policy(clock, self._costs, Shares())
        residency = Residency(self._load, device.memory_bytes, clock, device.widens)
        self._checkpoints = Checkpoints(station.checkpoints, station.checkpoint_seconds)
        self._engine = Engine(residency, policy, clock, self, self._checkpoints, lambda ref: device.plan(ref).digest)

    def serve(self) -> None:
        """Work until told to stop."""
        device = self._device
        self._link.say(
            Ready(
                version=VERSION,
                pid=os.getpid(),
                device=str(device.place),
                device_name=device.name,
                memory_bytes=device.memory_bytes,
                widening=device.widening,
            )
        )
        beats = threading.Thread(target=self._beat, name="beats", daemon=True)
        beats.start()
        idle = False
        while self._obey(IDLE_SECONDS if idle else 0.0):
            idle = not self._engine.turn()
            self._save_costs()
        self._engine.save_all()
        self._checkpoints.close()
        self._over.set()
        beats.join(BEAT_SECONDS)
        self._outputs.close()
        self._costs.save(self._station.costs_file)

    def _save_costs(self) -> None:
        """Now and then, where there is anything new."""
        now = self._clock.monotonic_ns()
        if self._learned and now - self._saved_ns >= SAVE_NS:
            self._learned, self._saved_ns = False, now
            self._costs.save(self._station.costs_file)

    def _obey(self, patience_s: float) -> bool:
        """Carry out all orders that have come, waiting for the first; False when the worker must end."""
        order = self._link.next(patience_s)
        while order is not None:
            if isinstance(order, Stop):
                return False
            if callable(order):
                order()
            else:
                self._take(order)
            order = self._link.next(0)
        return True

    def _take(self, order: ToWorker) -> None:
        if isinstance(order, Assign):
            with self._lock:
                self._held[order.lease.token] = order
            log.debug("request taken", **_named(order), attempt=order.attempt)
            if self._fetching is not None and order.generation.loras:
                self._fetching.begin(order)
            else:
                self._engine.submit(order)
        elif isinstance(order, Cancel):
            self._cancel(order)
        elif isinstance(order, Watch):
            self._engine.watch(order.lease)

    def _cancel(self, order: Cancel) -> None:
        """Wherever it is: waiting for adapters, being computed or being stored."""
        if self._fetching is not None and self._fetching.cancel(order.lease, order.waits_again):
            return
        if not self._engine.cancel(order.lease, order.waits_again):
            run = self._outputs.stop(order.lease)
            if run is not None:
                self._engine.fail(run, RequestCancelled.code, "the request was cancelled")

    def _adapters(self, clock: Clock) -> tuple[Library | None, Fetching | None]:
        place = self._station.adapters
        if place is None:
            return None, None
        shelf = Shelf(Path(place.cache), place.cache_bytes)
        sources = Sources(place, shelf, MediaStore(self._station.media), clock)
        return Library(shelf, place.memory_bytes), Fetching(sources, self._prepare, self._say, self._fetched)

    def _load(self, ref: ModelRef) -> Family:
        family = load_family(ref, self._device.place, self._device.dtype(ref), self._library)
        self._families[ref.name] = family
        return family

    def _prepare(self, model: ModelRef, loras: tuple[Lora, ...]) -> None:
        """Told by the fetching threads: fit adapters ahead to a model that is in memory."""
        family = self._families.get(model.name)
        if family is not None and family.adapters is not None:
            family.adapters.fitted(loras)

    def _fetched(self, order: Assign) -> None:
        """Told by the fetching threads."""
        self._link.later(lambda: self._admit(order))

    def _admit(self, order: Assign) -> None:
        assert self._fetching is not None
        taken_ns = self._fetching.release(order.lease)
        if taken_ns is None:
            return
        for number, lora in enumerate(order.generation.loras):
            told = f"loras[{number}]: sha256:{lora.digest} at scale {lora.scale:g}"
            self._say(Note(lease=order.lease, level="INFO", message=told))
        self._engine.submit(order, taken_ns)

    def _unstored(self, run: Run, message: str) -> None:
        """Told by the outputs' thread."""
        self._link.later(lambda: self._engine.fail(run, ExecutionError.code, message, retry=True))

    def say(self, message: Said) -> None:
        if isinstance(message, Failed):
            self._outputs.forget(message.lease)
        self._say(message)

    def observe(self, seen: Observation) -> None:
        self._costs.learn(seen)
        self._learned = True
        with self._lock:
            self._seen.append(seen)

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None:
        self._outputs.preview(run, progress, index, picture)

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        self._outputs.picture(run, index, picture)

    def complete(self, run: Run) -> None:
        self._outputs.complete(run)

    def _say(self, message: FromWorker) -> None:
        self._link.say(message)
        if isinstance(message, Finished | Failed):
            with self._lock:
                order = self._held.pop(message.lease.token, None)
            if order is not None:
                _log_end(order, message)
            if isinstance(message, Finished):
                self._checkpoints.drop(message.lease.request_id, SETTLING_SECONDS)
            elif not message.retry:
                self._checkpoints.drop(message.lease.request_id)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with self._lock:
                leases, self._seen, seen = [order.lease for order in self._held.values()], [], self._seen
            self._link.say(Beat(leases=leases, resident=self._engine.resident(), observed=seen, call=self._running()))

    def _running(self) -> Call | None:
        """The device call under way: should it hang, this thread still tells."""
        call = self._engine.running
        if call is None:
            return None
        plan, least = call.plan, self._station.hang_seconds * (FIRST_CALLS if call.first else 1)
        seconds = (self._clock.monotonic_ns() - call.begun_ns) / 1e9
        longest = max(least, HANGS * plan.predicted_s)
        return Call(model=plan.model, stage=plan.stage, seconds=seconds, longest_s=longest)


def _named(order: Assign) -> dict[str, str]:
    """What every line of log about it carries."""
    return {"request_id": order.lease.request_id, "tenant": order.tenant, "model": order.model.id}


def _log_end(order: Assign, said: Finished | Failed) -> None:
    if isinstance(said, Finished):
        log.debug("request finished", **_named(order), inference_s=said.inference_s)
    else:
        log.info("request failed", **_named(order), error=said.code, message=said.message, retry=said.retry)
