"""The secrets that Replicate's webhooks are signed with: one for each tenant, whose receivers share it (HMAC-SHA256).

They follow from one secret in the data folder; without its file all are others. The form is that of Standard Webhooks,
https://www.standardwebhooks.com, which Replicate's own clients verify.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from laterna.clock import Clock
from laterna.private import read_private, write_private

FILE = "webhook-secret"  # in the data folder


class SharedSecrets:
    """A data folder's."""

    def __init__(self, root: bytes, clock: Clock) -> None:
        self._root = root
        self._clock = clock

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> SharedSecrets:
        """With the folder's secret, made where there is none."""
        path = folder / FILE
        if read_private(path) is None:
            write_private(path, secrets.token_hex(32) + "\n")
        return cls((read_private(path) or "").encode(), clock)

    def secret(self, tenant: str) -> str:
        """What the tenant's receivers verify with."""
        return f"whsec_{base64.b64encode(self._key(tenant)).decode()}"

    def headers(self, delivery: str, tenant: str, body: bytes) -> dict[str, str]:
        """What shows a receiver who sent it, and when; `delivery` is the same at every try."""
        moment = str(self._clock.now_us() // 1_000_000)
        message = b".".join((delivery.encode(), moment.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key(tenant), message, hashlib.sha256)).decode()
        return {"webhook-id": delivery, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}

    def _key(self, tenant: str) -> bytes:
        return hmac.digest(self._root, tenant.encode(), hashlib.sha256)
