"""Ids and secrets: UUIDv7 that sort by time of creation, and random tokens."""

from __future__ import annotations

import re
import secrets
import threading
import uuid

_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COUNTER_BITS = 12


class Ids:
    """Makes UUIDv7 (RFC 9562, method 1: a counter below the millisecond) that rise strictly within a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0  # milliseconds and counter of the latest id, as one number

    def new(self, now_us: int) -> str:
        """An id of this moment; where the clock stood still or went back, the latest moment counts on."""
        with self._lock:
            self._last = max(self._last + 1, (now_us // 1000) << _COUNTER_BITS)
            millis, counter = self._last >> _COUNTER_BITS, self._last & ((1 << _COUNTER_BITS) - 1)
        bits = (millis << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | secrets.randbits(62)
        return str(uuid.UUID(int=bits))


def well_formed(text: str) -> bool:
    """Whether the text could be one of our ids: lower-case hex in the canonical form."""
    return _CANONICAL.fullmatch(text) is not None


def random_token() -> str:
    """192 random bits, safe in URLs and headers."""
    return secrets.token_urlsafe(24)
