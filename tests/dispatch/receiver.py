"""The receiver of fal's documentation on webhooks, step by step as it is described there, with `cryptography`.

It knows nothing of this server but the address of the keys.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CACHE_SECONDS = 24 * 60 * 60
LEEWAY_SECONDS = 300


class Receiver:
    """Keeps the keys for as long as it may."""

    def __init__(self, fetch: Callable[[], Any], now_s: Callable[[], float] = time.time) -> None:
        """`fetch`: the JSON at the address of the keys."""
        self._fetch = fetch
        self._now_s = now_s
        self._keys: list[dict[str, Any]] = []
        self._fetched_s = float("-inf")

    def verifies(self, headers: Mapping[str, str], body: bytes) -> bool:
        names = ("request-id", "user-id", "timestamp", "signature")
        given = [headers.get(f"x-fal-webhook-{name}") for name in names]
        if any(value is None for value in given):
            return False
        request_id, user_id, timestamp, signature = (str(value) for value in given)
        if abs(int(self._now_s()) - int(timestamp)) > LEEWAY_SECONDS:
            return False
        message = "\n".join([request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]).encode()
        return any(_signed(key, message, bytes.fromhex(signature)) for key in self._known())

    def _known(self) -> list[dict[str, Any]]:
        if self._now_s() - self._fetched_s > CACHE_SECONDS:
            self._keys, self._fetched_s = self._fetch().get("keys", []), self._now_s()
        return self._keys


def _signed(key: dict[str, Any], message: bytes, signature: bytes) -> bool:
    public = base64.urlsafe_b64decode(key["x"])  # as it stands: the documented receiver adds no padding
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True
