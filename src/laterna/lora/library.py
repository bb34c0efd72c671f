"""Adapters in memory: each read and fitted once for a model, within a budget, the least recently used out first.

Safe from several threads: a worker's fetching threads fit adapters ahead, the engine's thread finds them here. One that
was put out comes back from the shelf.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict, deque
from concurrent.futures import Future

from laterna.lora.adapter import Adapter, fit
from laterna.lora.layers import Layers
from laterna.lora.reading import read
from laterna.lora.shelf import Shelf

Key = tuple[int, str]  # model's number, adapter's digest


class Library:
    """All models' adapters of one worker."""

    def __init__(self, shelf: Shelf, budget_bytes: int) -> None:
        self.shelf = shelf
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Future[Adapter]] = OrderedDict()  # the least recently used first
        self._numbers = itertools.count()
        self._models: weakref.WeakKeyDictionary[Layers, int] = weakref.WeakKeyDictionary()
        self._gone: deque[int] = deque()  # numbers of models that left the memory

    def adapter(self, layers: Layers, digest: str) -> Adapter:
        """The adapter fitted to a model. Raises AdapterError."""
        with self._lock:
            self._forget()
            key = (self._number(layers), digest)
            held = self._held.get(key)
            mine = held is None
            if held is None:
                held = self._held[key] = Future()
            self._held.move_to_end(key)
        if mine:
            self._fill(held, key, layers)
        return held.result()

    def _fill(self, held: Future[Adapter], key: Key, layers: Layers) -> None:
        """Whoever asks meanwhile waits for the same; what could not be read is tried again by who asks later."""
        try:
            path, config = self.shelf.take(key[1])
            held.set_result(fit(read(path, config), layers))
        except BaseException as error:
            held.set_exception(error)
            with self._lock:
                self._held.pop(key, None)
            raise
        with self._lock:
            self._make_room(key)

    def _number(self, layers: Layers) -> int:
        number = self._models.get(layers)
        if number is None:
            number = self._models[layers] = next(self._numbers)
            weakref.finalize(layers, self._gone.append, number)  # at any moment of any thread: it may take no lock
        return number

    def _forget(self) -> None:
        """Adapters of models that left the memory do so too."""
        while self._gone:
            number = self._gone.popleft()
            for key in [key for key in self._held if key[0] == number]:
                del self._held[key]

    def _make_room(self, newest: Key) -> None:
        sizes = {key: held.result().resident_bytes for key, held in self._held.items() if _is_there(held)}
        used = sum(sizes.values())
        for key, size in sizes.items():
            if used > self.budget_bytes and key != newest:
                del self._held[key]
                used -= size


def _is_there(held: Future[Adapter]) -> bool:
    return held.done() and held.exception() is None
