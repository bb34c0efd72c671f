"""A tenant's generated pictures in pages, newest first: what a gallery shows, each with what it was made of.

Those that were handed over and not kept, are deleted or have expired are not among them. Neighbours: `listing`, whose
pages are of requests, and `files`, which knows uploads too and says less of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, func, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from laterna.contracts.generation import Generation
from laterna.errors import InvalidInput, Problem
from laterna.queue.lanes import decoded
from laterna.store.schema import files, outputs, payloads, requests

LARGEST_PAGE = 200
_ORDER = (files.c.created_us, files.c.key)


class _Prompt(FunctionElement[str]):
    """The prompt in a column of stored generations, which are JSON as bytes."""

    type = Text()
    inherit_cache = True


@compiles(_Prompt, "sqlite")
def _in_sqlite(element: _Prompt, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_extract(CAST({compiler.process(element.clauses, **kw)} AS TEXT), '$.prompt')"


@compiles(_Prompt, "postgresql")
def _in_postgres(element: _Prompt, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(convert_from({compiler.process(element.clauses, **kw)}, 'UTF8')::json ->> 'prompt')"


@dataclass(frozen=True, kw_only=True)
class PictureFilter:
    """Which pictures; None does not filter."""

    endpoint: str | None = None  # id
    words: str | None = None  # occurs in the prompt, in whatever case
    since_us: int | None = None  # finished then or later
    until_us: int | None = None  # finished earlier


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One, with the request that made it."""

    key: str  # of the media store
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str | None  # hex digest
    width: int | None  # pixels
    height: int | None  # pixels
    created_us: int  # when it was finished
    expires_us: int | None  # absent: never
    restricted: bool  # whether its address alone does not open it
    request_id: str
    index: int  # which sample of its request
    seed: int  # the sample's own
    endpoint: str  # id
    model_revision: str
    inference_s: float | None  # of its whole request
    generation: Generation | None  # absent where this version cannot read it


@dataclass(frozen=True, kw_only=True)
class PicturePage:
    items: tuple[Picture, ...]
    cursor: str | None  # for the next page; absent on the last


def pictures_of(
    connection: Connection, tenant: str, cursor: str | None, limit: int, which: PictureFilter, now_us: int
) -> PicturePage:
    """The next `limit` pictures after the cursor. Raises InvalidInput for a cursor that no page gave."""
    limit = max(1, min(limit, LARGEST_PAGE))
    statement = _narrowed(_all(tenant, now_us), which).order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(tuple_(*_ORDER) < tuple_(*_read(cursor)))
    rows = connection.execute(statement).mappings().all()
    last = rows[limit - 1] if len(rows) > limit else None
    return PicturePage(
        items=tuple(_picture(row) for row in rows[:limit]),
        cursor=None if last is None else f"{last['created_us']}.{last['key']}",
    )


def _all(tenant: str, now_us: int) -> Select[Any]:
    about = (requests.c.endpoint, requests.c.model_revision, requests.c.inference_us, payloads.c.generation)
    return (
        select(files, outputs.c.index, outputs.c.seed, *about)
        .join_from(files, outputs, outputs.c.file_key == files.c.key)
        .join(requests, requests.c.id == outputs.c.request_id)
        .join(payloads, payloads.c.request_id == requests.c.id, isouter=True)
        .where(
            files.c.tenant_id == tenant,
            outputs.c.request_id == files.c.request_id,  # found by the index of outputs' own key
            files.c.deleted_us.is_(None),
            files.c.access != "inline",
            files.c.expires_us.is_(None) | (files.c.expires_us > now_us),
        )
    )


def _narrowed(statement: Select[Any], which: PictureFilter) -> Select[Any]:
    if which.endpoint is not None:
        statement = statement.where(requests.c.endpoint == which.endpoint)
    if which.words:
        prompt = func.lower(_Prompt(payloads.c.generation))
        statement = statement.where(prompt.contains(which.words.lower(), autoescape=True))
    if which.since_us is not None:
        statement = statement.where(files.c.created_us >= which.since_us)
    if which.until_us is not None:
        statement = statement.where(files.c.created_us < which.until_us)
    return statement


def _picture(row: RowMapping) -> Picture:
    return Picture(
        key=row["key"],
        file_name=row["file_name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        restricted=row["acl"] is not None,
        request_id=row["request_id"],
        index=row["index"],
        seed=row["seed"],
        endpoint=row["endpoint"],
        model_revision=row["model_revision"],
        inference_s=None if row["inference_us"] is None else row["inference_us"] / 1e6,
        generation=decoded(row["generation"]),
    )


def _read(cursor: str) -> tuple[int, str]:
    created, dot, key = cursor.partition(".")
    if not (cursor.isascii() and created.isdecimal() and len(created) < 19 and dot):
        raise InvalidInput(
            Problem(loc=("query", "cursor"), msg="expected the cursor of an earlier page", input=cursor[:80])
        )
    return int(created), key
