"""The keys that webhooks are signed with (Ed25519), and the headers by which fal's receivers check a delivery.

Receivers fetch the public keys from `/.well-known/jwks.json` and may go on with what they found for a day. So a new key
is published for `AHEAD_SECONDS` before it signs, and an old one for as long after its last signature. The private keys
are in one file of the data folder, read anew each time, so that a rotation needs no restart.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from laterna.clock import Clock
from laterna.errors import ConfigError
from laterna.private import write_private

FILE = "webhook-keys.json"  # in the data folder
AHEAD_SECONDS = 25 * 3600  # receivers keep what they fetched for 24 hours, and what lies between them and us for less


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One of the file's."""

    id: str
    created_us: int  # UTC microseconds
    private: bytes  # 32 bytes, base64 in the file

    def signature(self, message: bytes) -> str:
        """In hexadecimal."""
        return Ed25519PrivateKey.from_private_bytes(self.private).sign(message).hex()

    def jwk(self) -> dict[str, str]:
        """The public half. `x` is padded, because fal's documented receiver decodes it as it stands."""
        public = Ed25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()
        known = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id}
        return {**known, "x": base64.urlsafe_b64encode(public).decode()}


class SigningKeys:
    """A data folder's."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> SigningKeys:
        """The folder's keys; the first is made where there is none."""
        keys = cls(folder / FILE, clock)
        if not keys._path.exists():
            keys._write([keys._new()])
        return keys

    def headers(self, request_id: str, user_id: str, body: bytes) -> dict[str, str]:
        """What shows a receiver who sent it, and when: good for five minutes."""
        now_us = self._clock.now_us()
        parts = (request_id, user_id, str(now_us // 1_000_000))
        message = "\n".join((*parts, hashlib.sha256(body).hexdigest())).encode()
        names = ("x-fal-webhook-request-id", "x-fal-webhook-user-id", "x-fal-webhook-timestamp")
        signature = _signing(self._read(), now_us).signature(message)
        return {**dict(zip(names, parts, strict=True)), "x-fal-webhook-signature": signature}

    def jwks(self) -> dict[str, Any]:
        """The public keys that receivers should know now."""
        return {"keys": [key.jwk() for key in self._published()]}

    def rotate(self, *, at_once: bool = False) -> SigningKey:
        """Add a key, which signs after `AHEAD_SECONDS`; or `at_once`, for a key that leaked: all others are gone then.

        Raises ConfigError where a key waits already.
        """
        new = self._new()
        known = [] if at_once else self._published()
        if known and _signing(known, new.created_us) != known[-1]:
            raise ConfigError(f"key {known[-1].id} is published and does not sign yet; wait, or replace all at once")
        self._write([*known, new])
        return new

    def _published(self) -> list[SigningKey]:
        """The one that signs, those to come, and those before it whose last signatures may still be under way."""
        keys, now_us = self._read(), self._clock.now_us()
        ended = [later.created_us + 2 * AHEAD_SECONDS * 1_000_000 for later in keys[1:]]
        return [key for key, end in zip(keys, [*ended, None], strict=True) if end is None or now_us < end]

    def _new(self) -> SigningKey:
        return SigningKey(
            id=secrets.token_hex(8),
            created_us=self._clock.now_us(),
            private=Ed25519PrivateKey.generate().private_bytes_raw(),
        )

    def _read(self) -> list[SigningKey]:
        """Oldest first, at least one. Raises ConfigError for a file that is none of ours."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[SigningKey])
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}; restore it, or delete it and restart") from error
        if not found or any(len(key.private) != 32 for key in found):
            raise ConfigError(f"{self._path} has no good keys; restore it, or delete it and restart")
        return found

    def _write(self, keys: list[SigningKey]) -> None:
        write_private(self._path, msgspec.json.encode(keys))


def _signing(keys: list[SigningKey], now_us: int) -> SigningKey:
    """The newest that receivers know; the oldest, where all are new."""
    known = [key for key in keys if key.created_us + AHEAD_SECONDS * 1_000_000 <= now_us]
    return known[-1] if known else keys[0]
