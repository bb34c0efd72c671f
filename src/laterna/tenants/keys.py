"""Tenants' keys: made once, shown once, kept as hashes; asked for at every request, so known ones are remembered.

A key reads `id:secret`, as fal's do; the secret alone is accepted too. Secrets are 256 random bits, so that a plain
SHA-256 hides them and finding one by its hash tells an attacker's clock nothing. One server runs on a data folder, so
what is remembered is right as long as changes go through this object.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from laterna.clock import Clock
from laterna.errors import NotFound, Unauthorized
from laterna.private import read_private, write_private
from laterna.store.schema import api_keys, shares, tenants
from laterna.store.store import Store
from laterna.tenants.caller import ADMIN, API, Caller

DEFAULT_TENANT = "default"
FIRST_KEY = "first"  # name of the key in the key file
REMEMBERED = 10_000  # keys
LONGEST = 500  # characters of a header that are looked at

_BY_HASH = select(api_keys).where(api_keys.c.secret_sha256 == bindparam("hash"))


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key."""

    id: str
    tenant: str
    name: str  # for people
    scopes: frozenset[str]
    created_us: int
    expires_us: int | None  # absent: never
    revoked_us: int | None  # absent: it is good
    secret_sha256: str  # hex


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """What is shown once."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        return f"{self.id}:{self.secret}"


class Keys:
    """All tenants' keys of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Key] = {}  # hash -> key
        self._revocations = 0  # so that what was read before one is not remembered after it

    async def ensure_first(self, path: Path) -> None:
        """See that the default tenant exists and that the file holds a good key of it.

        Where the file is gone or its key is not good, a new key is written to it and the former one is revoked.
        """
        await self._store.write(lambda connection: _ensure_tenant(connection, DEFAULT_TENANT, self._clock.now_us()))
        written = await asyncio.to_thread(read_private, path)
        if written is not None and await self._good(written) is not None:
            return
        for key in await self.list(DEFAULT_TENANT):
            if key.name == FIRST_KEY and key.revoked_us is None:
                await self.revoke(DEFAULT_TENANT, key.id)
        made = await self.create(DEFAULT_TENANT, FIRST_KEY, (API, ADMIN))
        await asyncio.to_thread(write_private, path, made.text + "\n")

    async def create_tenant(self, name: str, weight: int = 1) -> str:
        """A tenant, with its share against others'; returns its id."""
        tenant, now = str(uuid.uuid4()), self._clock.now_us()
        await self._store.write(lambda connection: _insert_tenant(connection, tenant, name, weight, now))
        return tenant

    async def create(
        self, tenant: str, name: str, scopes: tuple[str, ...] = (API,), expires_us: int | None = None
    ) -> NewKey:
        """A new key of the tenant. Its secret is in the answer and nowhere else."""
        made = NewKey(id=str(uuid.uuid4()), secret=secrets.token_hex(32))
        row = {
            "id": made.id,
            "tenant_id": tenant,
            "name": name,
            "secret_sha256": _hash(made.secret),
            "scopes": " ".join(scopes),
            "created_us": self._clock.now_us(),
            "expires_us": expires_us,
        }
        await self._store.write(lambda connection: connection.execute(insert(api_keys), row) and None)
        return made

    async def list(self, tenant: str) -> list[Key]:
        """The tenant's keys, oldest first, revoked ones included."""
        of_tenant = (
            select(api_keys).where(api_keys.c.tenant_id == tenant).order_by(api_keys.c.created_us, api_keys.c.id)
        )
        return await self._store.read(
            lambda connection: [_key(row) for row in connection.execute(of_tenant).mappings()]
        )

    async def revoke(self, tenant: str, key_id: str) -> None:
        """From now on nobody enters with it. Raises NotFound for another tenant's key."""
        one = (api_keys.c.id == key_id) & (api_keys.c.tenant_id == tenant)
        end = update(api_keys).where(one, api_keys.c.revoked_us.is_(None)).values(revoked_us=self._clock.now_us())
        known = await self._store.write(
            lambda connection: (
                connection.execute(end).rowcount or connection.execute(select(api_keys.c.id).where(one)).first()
            )
        )
        if not known:
            raise NotFound(f"no key {key_id!r}; list the keys to see those there are")
        self._revocations += 1
        self._known = {hash: key for hash, key in self._known.items() if key.id != key_id}

    async def authenticate(self, header: str | None) -> Caller:
        """Who sent this Authorization header: `Key id:secret`, `Key secret` or `Bearer` and either of them.

        Raises Unauthorized when it is missing, malformed, or names no good key; it does not say which part is wrong.
        """
        scheme, _, text = (header or "")[:LONGEST].strip().partition(" ")
        if scheme.lower() not in ("key", "bearer") or not text.strip():
            raise Unauthorized("send 'Authorization: Key <your key>' (or Bearer); the first key is in the data folder")
        caller = await self._good(text.strip())
        if caller is None:
            raise Unauthorized("no such key, or it has ended; the server's first key is in its data folder")
        return caller

    async def check(self, key_id: str) -> None:
        """Raises Unauthorized unless the key is good: for what was made with it and is still about."""
        one = select(api_keys).where(api_keys.c.id == key_id)
        row = await self._store.read(lambda connection: connection.execute(one).mappings().first())
        if row is None or not self._lives(_key(row)):
            raise Unauthorized("the key that had this token made has ended; ask for a new token with a good key")

    def _lives(self, key: Key) -> bool:
        return key.revoked_us is None and (key.expires_us is None or key.expires_us > self._clock.now_us())

    async def _good(self, text: str) -> Caller | None:
        key_id, colon, secret = text.partition(":")
        key = await self._find(_hash(secret if colon else text))
        if key is None or not self._lives(key) or (colon and not _same(key.id, key_id)):
            return None
        return Caller(tenant=key.tenant, key_id=key.id, scopes=key.scopes)

    async def _find(self, hash: str) -> Key | None:
        known = self._known.get(hash)
        if known is not None:
            return known
        revocations = self._revocations
        row = await self._store.read(lambda connection: connection.execute(_BY_HASH, {"hash": hash}).mappings().first())
        if row is None or not _same(row["secret_sha256"], hash):
            return None
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        if revocations == self._revocations:
            self._known[hash] = _key(row)
        return _key(row)


def _key(row: RowMapping) -> Key:
    return Key(
        id=row["id"],
        tenant=row["tenant_id"],
        name=row["name"],
        scopes=frozenset(row["scopes"].split()),
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        secret_sha256=row["secret_sha256"],
    )


def _ensure_tenant(connection: Connection, tenant: str, now_us: int) -> None:
    if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant)).first() is None:
        _insert_tenant(connection, tenant, tenant, 1, now_us)


def _insert_tenant(connection: Connection, tenant: str, name: str, weight: int, now_us: int) -> None:
    connection.execute(insert(tenants), {"id": tenant, "name": name, "weight": weight, "created_us": now_us})
    connection.execute(insert(shares), {"tenant_id": tenant})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))
