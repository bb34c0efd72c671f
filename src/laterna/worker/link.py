"""The worker's end of its socket: a thread that reads orders into an inbox, and a lock around what is said.

The inbox is read by the engine's thread alone, so that whatever else must happen on that thread is put there too.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from laterna.contracts.frames import pack, worker_reader
from laterna.contracts.messages import FromWorker, Stop, ToWorker


class Link:
    """Safe to speak on from any thread. When the server is gone, the inbox says Stop."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[ToWorker | Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def say(self, message: FromWorker) -> None:
        """Send; if the server has gone, the listener notices and stops the worker."""
        data = pack(message)
        with self._lock:
            try:
                self._connection.sendall(data)
            except OSError:
                self._inbox.put(Stop())

    def later(self, do: Callable[[], None]) -> None:
        """Have it done by whoever takes the orders, in turn with them."""
        self._inbox.put(do)

    def next(self, timeout_s: float) -> ToWorker | Callable[[], None] | None:
        """The next order or what else is to be done, or None if there was none in time; 0 does not wait."""
        try:
            return self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _listen(self) -> None:
        reader = worker_reader()
        try:
            while True:
                self._inbox.put(reader.read(self._connection))
        except EOFError:
            self._inbox.put(Stop())
