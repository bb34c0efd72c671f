"""Tenants' keys: made once, shown once, kept as hashes; asked for at every request, so known ones are remembered.

A key reads `id:secret`, as fal's do; the secret alone is accepted too. Secrets are 256 random bits, so that a plain
SHA-256 hides them and finding one by its hash tells an attacker's clock nothing. A key that is rotated keeps its id and
gets another secret; the former one is good for an overlap, so that its holders can change over without a gap. What is
remembered is right as long as changes go through this object, or other servers on the database tell of theirs
(`changed_elsewhere`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from laterna.clock import Clock
from laterna.errors import NotFound, Unauthorized, Unavailable
from laterna.private import read_private, write_private
from laterna.store import news
from laterna.store.schema import api_keys
from laterna.store.store import Store
from laterna.tenants.caller import ADMIN, ALL_MODELS, API, DEFAULT_TENANT, Caller, check_patterns
from laterna.tenants.tenants import ensure_tenant

__all__ = ["DEFAULT_TENANT", "FIRST_KEY", "Key", "Keys", "NewKey"]

FIRST_KEY = "first"  # name of the key in the key file
REMEMBERED = 10_000  # keys
LONGEST = 500  # characters of a header that are looked at

_BY_HASH = select(api_keys).where(
    or_(api_keys.c.secret_sha256 == bindparam("hash"), api_keys.c.former_sha256 == bindparam("hash"))
)
_BY_ID = select(api_keys).where(api_keys.c.id == bindparam("key"))
_USED = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"), or_(api_keys.c.used_us.is_(None), api_keys.c.used_us < bindparam("at")))
    .values(used_us=bindparam("at"))
)


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key."""

    id: str
    tenant: str
    name: str  # for people
    scopes: frozenset[str]
    models: tuple[str, ...]  # patterns of the endpoint ids that it may use
    realtime: bool  # whether it may ask for the realtime class
    created_us: int
    used_us: int | None  # last; absent: never
    expires_us: int | None  # absent: never
    revoked_us: int | None  # absent: it is good
    secret_sha256: str  # hex
    former_sha256: str | None  # of the secret before the last rotation; absent: it never was rotated
    former_until_us: int | None  # how long that one is good

    def lives(self, now_us: int) -> bool:
        return self.revoked_us is None and (self.expires_us is None or self.expires_us > now_us)

    def opens(self, hash: str, now_us: int) -> bool:
        """Whether a secret of this hash is good for it now."""
        if not self.lives(now_us):
            return False
        former = self.former_sha256 is not None and _same(self.former_sha256, hash)
        return _same(self.secret_sha256, hash) or (former and now_us < (self.former_until_us or 0))

    def caller(self) -> Caller:
        return Caller(
            tenant=self.tenant, key_id=self.id, scopes=self.scopes, models=self.models, realtime=self.realtime
        )


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
        self._remembering = not store.shared  # whether other servers' changes, if there can be any, are heard of
        self._changes = 0  # so that what was read before one is not remembered after it
        self._used: dict[str, int] = {}  # id -> when it was used last, not written down yet
        self._file: Path | None = None  # that holds the first key

    async def ensure_first(self, path: Path) -> None:
        """See that the default tenant exists and that the file holds a good key of it.

        Where the file is gone or its key is not good, a new key is written to it and the former one is revoked.
        """
        self._file = path
        await self._store.write(lambda connection: ensure_tenant(connection, DEFAULT_TENANT, self._clock.now_us()))
        written = await asyncio.to_thread(read_private, path)
        if written is not None and await self._good(written) is not None:
            return
        for key in await self.list(DEFAULT_TENANT):
            if key.name == FIRST_KEY and key.revoked_us is None:
                await self.revoke(DEFAULT_TENANT, key.id)
        made = await self.create(DEFAULT_TENANT, FIRST_KEY, (API, ADMIN), realtime=True)
        await asyncio.to_thread(write_private, path, made.text + "\n")

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: tuple[str, ...] = (API,),
        expires_us: int | None = None,
        *,
        models: tuple[str, ...] = ALL_MODELS,
        realtime: bool = False,
    ) -> NewKey:
        """A new key of the tenant. Its secret is in the answer and nowhere else. Raises InvalidInput for its models."""
        check_patterns(models)
        made = NewKey(id=str(uuid.uuid4()), secret=secrets.token_hex(32))
        row = {
            "id": made.id,
            "tenant_id": tenant,
            "name": name,
            "secret_sha256": _hash(made.secret),
            "scopes": " ".join(scopes),
            "models": " ".join(models),
            "realtime": realtime,
            "created_us": self._clock.now_us(),
            "expires_us": expires_us,
        }
        await self._store.write(lambda connection: connection.execute(insert(api_keys), row) and None)
        return made

    async def list(self, tenant: str) -> list[Key]:
        """The tenant's keys, oldest first, revoked ones included."""
        await self.note_uses()
        of_tenant = (
            select(api_keys).where(api_keys.c.tenant_id == tenant).order_by(api_keys.c.created_us, api_keys.c.id)
        )
        return await self._store.read(
            lambda connection: [_key(row) for row in connection.execute(of_tenant).mappings()]
        )

    async def revoke(self, tenant: str, key_id: str) -> None:
        """From now on nobody enters with it. Raises NotFound for another tenant's key."""
        one, now = (api_keys.c.id == key_id) & (api_keys.c.tenant_id == tenant), self._clock.now_us()
        end = update(api_keys).where(one, api_keys.c.revoked_us.is_(None)).values(revoked_us=now)

        def write(connection: Connection) -> bool:
            news.tell(connection, news.KEY, key_id)
            ended = connection.execute(end).rowcount
            return bool(ended) or connection.execute(select(api_keys.c.id).where(one)).first() is not None

        if not await self._store.write(write):
            raise _no_key(key_id)
        self._forget(key_id)

    async def rotate(self, tenant: str, key_id: str, overlap_s: float) -> NewKey:
        """Another secret for the key; the present one is good for `overlap_s` seconds more, an earlier one no longer.

        The key file follows. Raises NotFound for another tenant's key, and for one that has ended.
        """
        made, now = NewKey(id=key_id, secret=secrets.token_hex(32)), self._clock.now_us()
        former = await self._store.write(lambda c: _rotate(c, tenant, made, now, round(overlap_s * 1e6)))
        self._forget(key_id)
        if self._file is not None and tenant == DEFAULT_TENANT:
            written = await asyncio.to_thread(read_private, self._file)
            if written is not None and _same(_hash(written.rpartition(":")[2]), former):
                await asyncio.to_thread(write_private, self._file, made.text + "\n")
        return made

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

    async def check(self, key_id: str) -> Caller:
        """Whose key it is. Raises Unauthorized unless it is good: for what was made with it and is still about."""
        row = await self._store.read(lambda connection: connection.execute(_BY_ID, {"key": key_id}).mappings().first())
        if row is None or not _key(row).lives(self._clock.now_us()):
            raise Unauthorized("the key that had this token made has ended; ask for a new token with a good key")
        return _key(row).caller()

    def changed_elsewhere(self, key_id: str) -> None:
        """Another server ended the key or gave it another secret."""
        self._forget(key_id)

    def remember(self, heard: bool) -> None:
        """Begin to remember keys anew, as others' changes are heard of from now on; or remember none any more."""
        self._changes += 1
        self._known.clear()
        self._remembering = heard

    async def note_uses(self) -> None:
        """Write down when keys were used last, now or, where the store cannot, the next time.

        To be called now and then: no request waits for it.
        """
        used, self._used = self._used, {}
        some = [{"key": key, "at": moment} for key, moment in used.items()]
        try:
            if some:
                await self._store.write(lambda c: c.execute(_USED, some) and None, durable=False)
        except Unavailable:
            self._used = {**used, **self._used}

    def _forget(self, key_id: str) -> None:
        self._changes += 1
        self._known = {hash: key for hash, key in self._known.items() if key.id != key_id}

    async def _good(self, text: str) -> Caller | None:
        key_id, colon, secret = text.partition(":")
        hash, now = _hash(secret if colon else text), self._clock.now_us()
        key = await self._find(hash)
        if key is None or not key.opens(hash, now) or (colon and not _same(key.id, key_id)):
            return None
        self._used[key.id] = now
        return key.caller()

    async def _find(self, hash: str) -> Key | None:
        known = self._known.get(hash)
        if known is not None:
            return known
        changes = self._changes
        row = await self._store.read(lambda connection: connection.execute(_BY_HASH, {"hash": hash}).mappings().first())
        if row is None:
            return None
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        if self._remembering and changes == self._changes:
            self._known[hash] = _key(row)
        return _key(row)


def _rotate(connection: Connection, tenant: str, made: NewKey, now_us: int, overlap_us: int) -> str:
    """Returns the hash of the secret that was good so far."""
    row = connection.execute(_BY_ID.with_for_update(), {"key": made.id}).mappings().first()
    if row is None or row["tenant_id"] != tenant or not _key(row).lives(now_us):
        raise _no_key(made.id)
    news.tell(connection, news.KEY, made.id)
    former = str(row["secret_sha256"])
    changed = {"secret_sha256": _hash(made.secret), "former_sha256": former, "former_until_us": now_us + overlap_us}
    connection.execute(update(api_keys).where(api_keys.c.id == made.id).values(changed))
    return former


def _key(row: RowMapping) -> Key:
    return Key(
        id=row["id"],
        tenant=row["tenant_id"],
        name=row["name"],
        scopes=frozenset(row["scopes"].split()),
        models=tuple(row["models"].split()),
        realtime=row["realtime"],
        created_us=row["created_us"],
        used_us=row["used_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        secret_sha256=row["secret_sha256"],
        former_sha256=row["former_sha256"],
        former_until_us=row["former_until_us"],
    )


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"no key {key_id[:80]!r}; list the keys to see those there are")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))
