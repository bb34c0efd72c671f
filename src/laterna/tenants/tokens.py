"""Short-lived signed tokens: what a browser or an upload carries in a key's place. JWT, HS256, a secret a data folder.

Nothing of them is stored: they live a day at most (uploads in parts; the others minutes), and who takes one also asks
`Keys.check` whether the key that had it made is still good.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jwt

from laterna.clock import Clock
from laterna.errors import Unauthorized
from laterna.private import write_private
from laterna.tenants.caller import Caller

FILE = "token-secret"  # in the data folder
ALGORITHM = "HS256"
LONGEST_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Token:
    """What a good token says."""

    tenant: str  # id
    key_id: str  # whose holder had it made
    purpose: str  # upload, realtime, ...: good for this alone
    apps: tuple[str, ...]  # endpoint ids that it opens; empty where the purpose knows none
    expires_us: int


class Tokens:
    """Makes and checks them."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> Tokens:
        """With the folder's secret, made where there is none. Without the file all tokens made before are void."""
        path = folder / FILE
        if not path.exists():
            write_private(path, secrets.token_hex(32) + "\n")
        return cls(path.read_text().strip(), clock)

    def digest(self, beside: str) -> int:
        """Of the secret and a text, 31 bits: the same on servers that have both alike."""
        return int.from_bytes(hmac.digest(self._secret.encode(), beside.encode(), "sha256")[:4]) >> 1

    def mint(self, caller: Caller, purpose: str, seconds: float, apps: Iterable[str] = ()) -> str:
        """A token that is good for so long, at most a day."""
        claims = {
            "sub": caller.tenant,
            "key": caller.key_id,
            "purpose": purpose,
            "apps": list(apps),
            "exp": self._clock.now_us() // 1_000_000 + round(min(max(seconds, 1), LONGEST_SECONDS)),
        }
        return jwt.encode(claims, self._secret, ALGORITHM)

    def verify(self, text: str, purpose: str) -> Token:
        """Raises Unauthorized where it is forged, has ended, or was made for another purpose."""
        try:
            claims = jwt.decode(
                text,
                self._secret,
                [ALGORITHM],
                options={"require": ["sub", "key", "purpose", "apps", "exp"], "verify_exp": False},
            )
        except (jwt.InvalidTokenError, UnicodeError) as error:
            raise Unauthorized("the token is not one of this server's; ask for a new one") from error
        if claims["purpose"] != purpose:
            raise Unauthorized(f"the token is for {claims['purpose']}, not for {purpose}; ask for another one")
        if claims["exp"] * 1_000_000 <= self._clock.now_us():
            raise Unauthorized("the token has ended; ask for a new one")
        return Token(
            tenant=claims["sub"],
            key_id=claims["key"],
            purpose=purpose,
            apps=tuple(claims["apps"]),
            expires_us=claims["exp"] * 1_000_000,
        )
