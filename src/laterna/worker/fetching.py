"""Orders whose adapters are not at hand wait here, beside the engine: fetched, read and fitted before a sample joins.

Each order has a thread of its own, as a worker holds few at a time; none of them holds up a running batch. What cannot
be had fails its own request alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from laterna.contracts.generation import Lora, ModelRef
from laterna.contracts.messages import Assign, Failed, FromWorker, Lease, Progress
from laterna.errors import ExecutionError, LaternaError, RequestCancelled
from laterna.worker.sources import Sources


class Prepare(Protocol):
    def __call__(self, model: ModelRef, loras: tuple[Lora, ...]) -> None:
        """Fit the adapters to the model where that is in memory; else it happens when it is loaded."""


class Fetching:
    """All but the fetching itself happens on the engine's thread; `ready` brings an order back to it."""

    def __init__(
        self, sources: Sources, prepare: Prepare, say: Callable[[FromWorker], None], ready: Callable[[Assign], None]
    ) -> None:
        """`say` and `ready` are called from other threads; `ready` with orders whose adapters have their digests."""
        self._sources = sources
        self._prepare = prepare
        self._say = say
        self._ready = ready
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}  # by token, when it began, monotonic nanoseconds

    def begin(self, order: Assign) -> None:
        with self._lock:
            self._waiting[order.lease.token] = time.monotonic_ns()
        steps = order.generation.steps
        self._say(Progress(lease=order.lease, stage="fetch", step=0, steps=steps, batch=0, remaining_s=0.0))
        threading.Thread(target=self._fetch, args=(order,), name="adapters", daemon=True).start()

    def cancel(self, lease: Lease, waits_again: bool = False) -> bool:
        """Whether it was here; then it is said to be cancelled, here or altogether."""
        return self._end(lease, RequestCancelled.code, "the request was cancelled", waits_again)

    def release(self, lease: Lease) -> int | None:
        """When an order that is ready began to be fetched, monotonic nanoseconds; None: it was cancelled."""
        with self._lock:
            return self._waiting.pop(lease.token, None)

    def _fetch(self, order: Assign) -> None:
        try:
            loras = tuple(self._fetched(number, lora) for number, lora in enumerate(order.generation.loras))
            self._prepare(order.model, loras)
        except LaternaError as error:
            self._end(order.lease, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: recorded as the request's failure
            self._end(order.lease, ExecutionError.code, f"loras: {type(error).__name__}: {error}")
        else:
            generation = msgspec.structs.replace(order.generation, loras=loras)
            self._ready(msgspec.structs.replace(order, generation=generation))

    def _fetched(self, number: int, lora: Lora) -> Lora:
        try:
            return msgspec.structs.replace(lora, digest=self._sources.digest(lora))
        except LaternaError as error:
            raise type(error)(f"loras[{number}].path: {error.message}") from error

    def _end(self, lease: Lease, code: str, message: str, retry: bool = False) -> bool:
        if self.release(lease) is None:
            return False
        self._say(Failed(lease=lease, code=code, message=message, retry=retry))
        return True
