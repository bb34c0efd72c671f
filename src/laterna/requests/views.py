"""What the owner of a request may see of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, literal_column, select

from laterna.contracts.generation import Generation
from laterna.contracts.messages import Lease
from laterna.errors import RequestNotFound
from laterna.requests.places import Places
from laterna.store.ids import well_formed
from laterna.store.schema import attempts, files, outputs, payloads, requests, usage_lines
from laterna.store.states import OK, RUNNING, SETTLED, WAITING

# What it was charged: that it was, is settled.
COST = (
    select(usage_lines.c.amount_nano)
    .where(usage_lines.c.request_id == requests.c.id, usage_lines.c.stage == literal_column("'price'"))
    .scalar_subquery()
    .label("cost_nano")
)
CHARGED = (
    select(usage_lines.c.quantity_micro)
    .where(usage_lines.c.request_id == requests.c.id, usage_lines.c.stage == literal_column("'price'"))
    .scalar_subquery()
    .label("charged_micro")
)

# Who worked on it last.
WORKER = (
    select(attempts.c.worker)
    .where(attempts.c.request_id == requests.c.id)
    .order_by(attempts.c.number.desc())
    .limit(1)
    .scalar_subquery()
    .label("worker")
)

# One request of its tenant, with what the engine was asked.
_ONE = (
    select(requests, payloads.c.generation, COST, CHARGED, WORKER)
    .join_from(requests, payloads, payloads.c.request_id == requests.c.id, isouter=True)
    .where(requests.c.tenant_id == bindparam("tenant"), requests.c.id == bindparam("request"))
)

# What it generated, in the order of the samples.
_OUTPUTS = (
    select(outputs.c.index, outputs.c.seed, outputs.c.flagged, files)
    .join_from(outputs, files, files.c.key == outputs.c.file_key)
    .where(outputs.c.request_id == bindparam("request"))
    .order_by(outputs.c.index)
)

# What it was sent.
_RAW_INPUT = (
    select(payloads.c.raw_input)
    .join_from(payloads, requests, payloads.c.request_id == requests.c.id)
    .where(requests.c.tenant_id == bindparam("tenant"), requests.c.id == bindparam("request"))
)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a request has no result."""

    code: str  # of `laterna.errors`
    message: str  # for people
    details: object = None  # JSON; absent for most


@dataclass(frozen=True, kw_only=True)
class Output:
    """One generated file."""

    index: int  # which sample
    seed: int  # the sample's own
    key: str  # of the media store, unless it is inline
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str | None  # hex digest
    width: int | None  # pixels; absent for sound
    height: int | None  # pixels; absent for sound
    duration_s: float | None  # absent for pictures
    inline: bool  # whether it was to be handed over, not stored
    data: bytes | None  # of an inline output, for an hour after settling; absent otherwise
    deleted: bool  # whether it is no longer served
    restricted: bool  # whether its address alone does not open it
    flagged: bool  # whether the safety checker blacked it out


def no_request(request_id: str) -> RequestNotFound:
    """For an id that nobody has, and for another tenant's alike."""
    return RequestNotFound(f"no request {request_id[:80]!r}; check the id, and that the key is its sender's")


@dataclass(frozen=True, kw_only=True)
class RequestView:
    """All there is to say of a request at one moment, but for its logs and the raw input."""

    request_id: str
    tenant: str  # id
    key_id: str | None  # absent: the server itself asked
    dialect: str
    endpoint: str
    card_id: str
    model_revision: str
    priority: int  # 0 realtime, 1 normal, 2 low
    state: str  # of `laterna.store.states`
    outcome: str | None  # absent: not settled
    trouble: Trouble | None  # present where the outcome is other than ok
    position: int | None  # how many are ahead; 0 in a worker's hands; absent once it runs
    cancelling: bool  # its owner asked for its end, and its worker has not answered yet
    lease: Lease | None  # absent: no worker has it
    generation: Generation | None  # absent once its payload is deleted
    outputs: tuple[Output, ...]  # empty unless the outcome is ok
    inference_s: float | None  # first device call to last; absent unless the outcome is ok
    tags: Mapping[str, str]
    price_nano: int  # charged if the outcome is ok
    currency: str
    price_unit: str | None  # what the quote is for; absent: submitted to an earlier version
    quantity_micro: int  # quoted, in millionths of that unit
    cost_nano: int | None  # charged; absent: not settled
    charged_micro: int | None  # charged, in millionths of that unit; absent: not settled
    attempts: int  # counted, a present one included
    worker: str | None  # by name, of the present or last attempt; absent: none yet, or its history has expired
    store_io: bool
    webhook_url: str | None
    base_url: str | None
    start_by_us: int | None
    finish_by_us: int | None
    not_before_us: int | None
    created_us: int
    started_us: int | None  # first device call of its present or last attempt
    settled_us: int | None
    expires_us: int | None  # when payload and outputs are deleted; absent: never, or not settled yet

    @property
    def settled(self) -> bool:
        return self.state == SETTLED


def view_of(connection: Connection, places: Places, tenant: str, request_id: str) -> RequestView:
    """Raises RequestNotFound for ids that are not the tenant's, malformed ones included."""
    row = None
    if well_formed(request_id):
        row = connection.execute(_ONE, {"tenant": tenant, "request": request_id}).mappings().first()
    if row is None:
        raise no_request(request_id)
    return view(row, _position(connection, places, row), _outputs(connection, row))


def raw_input(connection: Connection, tenant: str, request_id: str) -> Any:
    """The JSON value that was sent; None once it is deleted, or where there is no such request."""
    named = {"tenant": tenant, "request": request_id}
    text = connection.execute(_RAW_INPUT, named).scalar() if well_formed(request_id) else None
    return None if text is None else msgspec.json.decode(text)


def view(row: RowMapping, ahead: int | None, made: tuple[Output, ...]) -> RequestView:
    """Of a row of `requests` with the payload's `generation`."""
    token = row["lease_token"]
    return RequestView(
        request_id=row["id"],
        tenant=row["tenant_id"],
        key_id=row["key_id"],
        dialect=row["dialect"],
        endpoint=row["endpoint"],
        card_id=row["card_id"],
        model_revision=row["model_revision"],
        priority=row["priority"],
        state=row["state"],
        outcome=row["outcome"],
        trouble=_trouble(row),
        position=ahead,
        cancelling=row["cancel_us"] is not None and row["state"] != SETTLED,
        lease=None if token is None else Lease(request_id=row["id"], token=token),
        generation=_generation(row["generation"]),
        outputs=made,
        inference_s=None if row["inference_us"] is None else row["inference_us"] / 1e6,
        tags=json.loads(row["tags"]),
        price_nano=row["price_nano"],
        currency=row["currency"],
        price_unit=row["price_unit"],
        quantity_micro=row["quantity_micro"] or 0,
        cost_nano=(row["cost_nano"] or 0) if row["state"] == SETTLED else None,
        charged_micro=(row["charged_micro"] or 0) if row["state"] == SETTLED else None,
        attempts=row["attempts"],
        worker=row["worker"],
        store_io=row["store_io"],
        webhook_url=row["webhook_url"],
        base_url=row["base_url"],
        start_by_us=row["start_by_us"],
        finish_by_us=row["finish_by_us"],
        not_before_us=row["not_before_us"],
        created_us=row["created_us"],
        started_us=row["started_us"],
        settled_us=row["settled_us"],
        expires_us=row["expires_us"],
    )


def _trouble(row: RowMapping) -> Trouble | None:
    if row["error_code"] is None:
        return None
    details = row["error_details"]
    return Trouble(
        code=row["error_code"],
        message=row["error_message"] or "",
        details=None if details is None else json.loads(details),
    )


def _generation(text: bytes | None) -> Generation | None:
    """None too for what only another version can read: its result is still there, its input is not shown."""
    try:
        return None if text is None else msgspec.json.decode(text, type=Generation)
    except msgspec.DecodeError:
        return None


def _position(connection: Connection, places: Places, row: RowMapping) -> int | None:
    if row["state"] in (RUNNING, SETTLED):
        return None
    if row["state"] in WAITING:
        return places.ahead(connection, (row["priority"], row["created_us"], row["id"]))
    return 0


def _outputs(connection: Connection, row: RowMapping) -> tuple[Output, ...]:
    if row["outcome"] != OK:
        return ()
    return tuple(_output(found) for found in connection.execute(_OUTPUTS, {"request": row["id"]}).mappings())


def _output(row: RowMapping) -> Output:
    return Output(
        index=row["index"],
        seed=row["seed"],
        key=row["key"],
        file_name=row["file_name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        duration_s=None if row["duration_us"] is None else row["duration_us"] / 1e6,
        inline=row["access"] == "inline",
        data=row["data"],
        deleted=row["deleted_us"] is not None,
        restricted=row["acl"] is not None,
        flagged=row["flagged"],
    )
