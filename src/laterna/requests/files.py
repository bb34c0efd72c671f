"""Files by key: who owns them, what they are, whether they may be served. The bytes lie in the media store."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, tuple_

from laterna.clock import Clock
from laterna.errors import FileNotFound, InvalidInput, Problem
from laterna.requests.access import Access, Decision, read, stored
from laterna.requests.expiry import delete_files
from laterna.store.schema import files
from laterna.store.store import Store
from laterna.tenants import limits

LARGEST_PAGE = 200

_BY_KEY = select(files).where(files.c.key == bindparam("key"), files.c.deleted_us.is_(None))


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file that is there."""

    key: str  # of the media store
    tenant: str  # id of its owner
    request_id: str | None  # which generated it; absent: it was uploaded
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str | None = None  # hex digest; absent: uploaded in parts
    width: int | None = None  # pixels
    height: int | None = None  # pixels
    duration_s: float | None = None
    access: str = "link"  # link: as `acl` says; tenant: its keys alone; inline: nobody
    acl: Access = Access()
    created_us: int = 0
    expires_us: int | None = None  # absent: never

    @property
    def open(self) -> bool:
        """Whether it does not matter who reads."""
        return self.access == "link" and self.acl == Access()

    def decide(self, reader: str | None) -> Decision:
        """Whether a tenant may read it, who has its address; None for somebody without a key."""
        if self.access == "link":
            return self.acl.decide(self.tenant, reader)
        return "allow" if self.access == "tenant" and reader == self.tenant else "hide"


@dataclass(frozen=True, kw_only=True)
class FilePage:
    items: tuple[FileRecord, ...]  # newest first
    cursor: str | None  # for the next page; absent on the last


def missing() -> FileNotFound:
    """What everybody hears of a file that is not there for them."""
    return FileNotFound("no such file: it was deleted, has expired, or never was")


class Files:
    """All tenants' files of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def add(self, record: FileRecord) -> FileRecord:
        """Note a file whose bytes are stored. Its creation is now, whatever the record says; returns it so.

        Raises StorageFull where its tenant may not keep so much.
        """
        record = replace(record, created_us=self._clock.now_us())
        row = {
            "key": record.key,
            "tenant_id": record.tenant,
            "request_id": record.request_id,
            "file_name": record.file_name,
            "content_type": record.content_type,
            "size_bytes": record.size_bytes,
            "sha256": record.sha256,
            "width": record.width,
            "height": record.height,
            "duration_us": None if record.duration_s is None else round(record.duration_s * 1e6),
            "access": record.access,
            "acl": stored(record.acl),
            "created_us": record.created_us,
            "expires_us": record.expires_us,
        }

        def insert_it(connection: Connection) -> None:
            limits.upload(connection, record.tenant, record.size_bytes)
            connection.execute(insert(files), row)

        await self._store.write(insert_it)
        return record

    async def get(self, key: str) -> FileRecord:
        """The file, whoever owns it: its key is a capability. Raises FileNotFound once deleted or expired."""
        row = None
        if key.isascii():
            row = await self._store.read(
                lambda connection: connection.execute(_BY_KEY, {"key": key}).mappings().first()
            )
        if row is None or (row["expires_us"] is not None and row["expires_us"] <= self._clock.now_us()):
            raise missing()
        return _record(row)

    async def room(self, tenant: str) -> int | None:
        """Bytes that the tenant may upload yet; None: no limit. Raises StorageFull where there is no room at all."""
        return await self._store.read(lambda connection: limits.room(connection, tenant))

    async def page(self, tenant: str, cursor: str | None = None, limit: int = 50) -> FilePage:
        """The tenant's files. Raises InvalidInput for a cursor that no page gave."""
        limit = max(1, min(limit, LARGEST_PAGE))
        order = (files.c.created_us, files.c.key)
        statement = (
            select(files)
            .where(files.c.tenant_id == tenant, files.c.deleted_us.is_(None), files.c.access != "inline")
            .order_by(*(column.desc() for column in order))
            .limit(limit + 1)
        )
        if cursor is not None:
            statement = statement.where(tuple_(*order) < tuple_(*_place(cursor)))
        rows = await self._store.read(lambda connection: connection.execute(statement).mappings().all())
        last = rows[limit - 1] if len(rows) > limit else None
        return FilePage(
            items=tuple(_record(row) for row in rows[:limit]),
            cursor=None if last is None else f"{last['created_us']}.{last['key']}",
        )

    async def delete(self, tenant: str, key: str) -> None:
        """Serve it no longer; its bytes go with the next sweep. Raises FileNotFound for another tenant's."""
        mine = (files.c.key == key) & (files.c.tenant_id == tenant)
        now = self._clock.now_us()
        if not key.isascii() or not await self._store.write(lambda connection: delete_files(connection, mine, now)):
            raise FileNotFound(f"no file {key[:80]!r}; list the files to see those there are")


def _record(row: RowMapping) -> FileRecord:
    return FileRecord(
        key=row["key"],
        tenant=row["tenant_id"],
        request_id=row["request_id"],
        file_name=row["file_name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        duration_s=None if row["duration_us"] is None else row["duration_us"] / 1e6,
        access=row["access"],
        acl=read(row["acl"]),
        created_us=row["created_us"],
        expires_us=row["expires_us"],
    )


def _place(cursor: str) -> tuple[int, str]:
    created, dot, key = cursor.partition(".")
    if not (cursor.isascii() and created.isdecimal() and len(created) < 19 and dot):
        raise InvalidInput(
            Problem(loc=("query", "cursor"), msg="expected the cursor of an earlier page", input=cursor[:80])
        )
    return int(created), key
