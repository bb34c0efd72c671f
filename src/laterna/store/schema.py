"""The tables. Ids are UUIDv7 text, times integer UTC microseconds, device time integer nanoseconds, money integer
billionths of a currency. What a column means is said here; which rows may exist is said by constraints here and by the
triggers of `laterna.store.sqlite`. Every query of a tenant's data names the tenant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from laterna.store.states import HELD, LOGS, OUTCOMES, OUTPUT, START, STATES

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Moment = BigInteger  # UTC microseconds
Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys by itself


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _where(name: str, *columns: Column[Any], condition: str, unique: bool = False) -> Index:
    """An index of the few rows that the condition picks."""
    picked: ColumnElement[Any] = text(condition)  # type: ignore[assignment]
    return Index(name, *columns, unique=unique, sqlite_where=picked, postgresql_where=picked)


tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("weight", Integer, nullable=False, server_default="1"),  # its share against others'
    Column("created_us", Moment, nullable=False),
    Column("concurrency", Integer),  # of its requests in workers' hands at once; absent: no limit, as the three below
    Column("queue_length", Integer),  # of its requests that wait
    Column("rate_per_minute", Integer),  # of submissions
    Column("storage_bytes", BigInteger),  # of its files
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),  # of its files that are not deleted
    CheckConstraint("weight > 0", name="weight"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),  # for people
    Column("secret_sha256", Text, nullable=False, unique=True),  # hex; the secret itself is never kept
    Column("scopes", Text, nullable=False),  # space-separated
    Column("created_us", Moment, nullable=False),
    Column("expires_us", Moment),  # absent: never
    Column("revoked_us", Moment),  # absent: it is good
    Column("models", Text, nullable=False, server_default="*"),  # patterns of endpoint ids; space-separated
    Column("realtime", Boolean, nullable=False, server_default=false()),  # whether it may ask for that class
    Column("used_us", Moment),  # last, to the minute; absent: never
    Column("former_sha256", Text),  # of the secret before the last rotation; absent: it never was rotated
    Column("former_until_us", Moment),  # how long that one is good
)
Index("uq_api_keys_former", api_keys.c.former_sha256, unique=True)

shares = Table(
    "shares",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("virtual_ns", BigInteger, nullable=False, server_default="0"),  # device time used, divided by the weight
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("key_id", Text, ForeignKey("api_keys.id")),  # absent: the server itself asked
    Column("dialect", Text, nullable=False),  # fal, openai, replicate, cli: the shape in which errors are told
    Column("endpoint", Text, nullable=False),
    Column("card_id", Text, nullable=False),
    Column("model_revision", Text, nullable=False),
    Column("plan_digest", Text),  # the engine settings it began with; absent before
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text),  # absent: not settled
    Column("error_code", Text),  # of `laterna.errors`; absent unless the outcome is other than ok
    Column("error_message", Text),
    Column("error_details", Text),  # JSON
    Column("start_by_us", Moment),  # expires when it has not begun by then
    Column("finish_by_us", Moment),  # expires when it still waits by then
    Column("not_before_us", Moment),  # of a scheduled request
    Column("cancel_us", Moment),  # when its owner asked to cancel it while a worker held it
    Column("idempotency_key", Text),  # unique within the tenant
    Column("parent_run_id", Text),  # of a workflow, as the two below
    Column("parent_node", Text),
    Column("parent_index", Integer),
    Column("tags", Text, nullable=False, server_default="{}"),  # JSON object
    Column("store_io", Boolean, nullable=False),  # whether input and outputs outlive the hour after settling
    Column("keep_seconds", BigInteger),  # for which they are kept after settling; absent: for ever
    Column("base_url", Text),  # where files are served, as its client reached us: for webhooks
    Column("webhook_url", Text),
    Column("price_nano", BigInteger, nullable=False),  # quoted; charged if the outcome is ok
    Column("currency", Text, nullable=False),
    Column("created_us", Moment, nullable=False),
    Column("started_us", Moment),  # first device call of its present or last attempt
    Column("settled_us", Moment),
    Column("expires_us", Moment),  # when its payload and outputs are deleted; absent: never
    Column("attempts", Integer, nullable=False, server_default="0"),  # begun and counted
    Column("max_attempts", Integer, nullable=False),
    Column("lease_token", Text),
    Column("lease_worker", Text),
    Column("lease_expires_us", Moment),
    Column("inference_us", BigInteger),  # first device call to last, as its worker measured
    Column("work", BigInteger, nullable=False, server_default="0"),  # token-steps: what its device time grows with
    Column("charged_ns", BigInteger),  # counted against its tenant's share for the present lease; absent: not held
    Column("price_unit", Text),  # what the quote is for; absent: written by an earlier version, as the two below
    Column("unit_nano", BigInteger),  # of the currency, for one of it
    Column("quantity_micro", BigInteger),  # millionths of the unit that were quoted
    Column("cancel_by_us", Moment),  # cancelled unless it has settled by then, waiting or running
    Column("retries", Text),  # JSON: how many by cause, as its sender said; absent: as usual
    Column("alone", Boolean, nullable=False, server_default=false()),  # its attempt, or its next, is made by itself
    Column("access", Text),  # JSON of `laterna.requests.access`, for its outputs; absent: all who have their addresses
    Column("runner_hint", Text),  # what it shares with others that should go to the same worker
    Column("traceparent", Text),  # W3C trace context of its submission; absent: it is not traced
    Column("webhook_events", Text),  # of `laterna.store.states`, joined by commas; absent: its end alone
    CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name="settled_has_outcome"),
    CheckConstraint("(state = 'settled') = (settled_us IS NOT NULL)", name="settled_has_time"),
    CheckConstraint("(outcome IS NOT NULL AND outcome <> 'ok') = (error_code IS NOT NULL)", name="error_has_code"),
    CheckConstraint(f"({_one_of('state', HELD)}) = (lease_token IS NOT NULL)", name="held_has_lease"),
    CheckConstraint("(lease_token IS NULL) = (lease_worker IS NULL)", name="lease_has_worker"),
    CheckConstraint("(lease_token IS NULL) = (lease_expires_us IS NULL)", name="lease_expires"),
    CheckConstraint("state <> 'running' OR started_us IS NOT NULL", name="running_has_start"),
    CheckConstraint("state <> 'scheduled' OR not_before_us IS NOT NULL", name="scheduled_has_time"),
    CheckConstraint("attempts BETWEEN 0 AND max_attempts", name="attempts"),
    CheckConstraint("price_nano >= 0", name="price"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    CheckConstraint("priority BETWEEN 0 AND 2", name="priority"),
    CheckConstraint(_one_of("state", STATES), name="state"),
    CheckConstraint(_one_of("outcome", OUTCOMES), name="outcome"),
)
Index("ix_requests_list", requests.c.tenant_id, requests.c.created_us, requests.c.id)
_where(
    "ix_requests_next",  # the order; the columns after it let counts do without the rows
    *(requests.c.priority, requests.c.created_us, requests.c.id, requests.c.state, requests.c.card_id),
    condition="state = 'queued'",
)
_where(
    "ix_requests_lanes",  # those that wait, by tenant, model and class, the least work first
    *(requests.c.tenant_id, requests.c.card_id, requests.c.priority),
    *(requests.c.work, requests.c.created_us, requests.c.id, requests.c.state),
    condition="state = 'queued'",
)
_where("ix_requests_scheduled", requests.c.not_before_us, requests.c.state, condition="state = 'scheduled'")
_where("ix_requests_lease", requests.c.lease_expires_us, condition="lease_expires_us IS NOT NULL")
_where("ix_requests_worker", requests.c.lease_worker, condition="lease_worker IS NOT NULL")
_where("ix_requests_start_by", requests.c.start_by_us, condition="start_by_us IS NOT NULL AND state <> 'settled'")
_where("ix_requests_finish_by", requests.c.finish_by_us, condition="finish_by_us IS NOT NULL AND state <> 'settled'")
_where(
    "ix_requests_cancel_by",
    requests.c.cancel_by_us,
    condition="cancel_by_us IS NOT NULL AND cancel_us IS NULL AND state <> 'settled'",
)
_where("ix_requests_expires", requests.c.expires_us, condition="expires_us IS NOT NULL AND state = 'settled'")
_where(
    "ix_requests_held",  # what quotes hold of their tenant's budget
    *(requests.c.tenant_id, requests.c.currency, requests.c.price_nano),
    condition="state <> 'settled' AND price_nano > 0",
)

payloads = Table(  # apart from `requests`, whose rows are read at every poll
    "payloads",
    metadata,
    Column("request_id", Text, ForeignKey("requests.id"), primary_key=True),
    Column("schema_version", Integer, nullable=False),  # of `generation`
    Column("generation", LargeBinary, nullable=False),  # JSON of `laterna.contracts.generation.Generation`
    Column("raw_input", LargeBinary, nullable=False),  # JSON, in the endpoint's own words
)

attempts = Table(
    "attempts",
    metadata,
    Column("request_id", Text, ForeignKey("requests.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("worker", Text, nullable=False),
    Column("leased_us", Moment, nullable=False),
    Column("started_us", Moment),
    Column("ended_us", Moment),
    Column("outcome", Text),  # ok, failed, cancelled, expired or lost; absent: it goes on
    Column("lease_token", Text),  # under which its worker speaks, even once the lease has ended
    Column("device_ns", BigInteger),  # of its usage lines; absent: none were written yet
    Column("timeline", LargeBinary),  # JSON of spans of `laterna.contracts.messages`; absent: its worker told none
    Column("error_code", Text),  # of `laterna.errors`, by which it ended; absent: it went well, or goes on
)

files = Table(
    "files",
    metadata,
    Column("key", Text, primary_key=True),  # of the media store
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("request_id", Text, ForeignKey("requests.id"), index=True),  # absent: it was uploaded
    Column("file_name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text),  # hex; absent: uploaded in parts
    Column("width", Integer),  # pixels
    Column("height", Integer),  # pixels
    Column("duration_us", BigInteger),  # of sound and video
    Column("access", Text, nullable=False),  # link: whoever has it; tenant: its keys alone; inline: `data`
    Column("data", LargeBinary),  # of an inline output: the bytes themselves, which the media store never had
    Column("created_us", Moment, nullable=False),
    Column("expires_us", Moment),  # absent: never
    Column("deleted_us", Moment),  # no longer served since
    Column("purged_us", Moment),  # its bytes are gone since
    Column("acl", Text),  # JSON of `laterna.requests.access`: who may; absent: as above
    CheckConstraint(_one_of("access", ("link", "tenant", "inline")), name="access"),
    CheckConstraint("data IS NULL OR access = 'inline'", name="data_is_inline"),
    CheckConstraint("purged_us IS NULL OR deleted_us IS NOT NULL", name="purged_is_deleted"),
)
Index("ix_files_list", files.c.tenant_id, files.c.created_us, files.c.key)
_where("ix_files_expires", files.c.expires_us, condition="expires_us IS NOT NULL AND deleted_us IS NULL")
_where("ix_files_deleted", files.c.deleted_us, condition="deleted_us IS NOT NULL AND purged_us IS NULL")

outputs = Table(
    "outputs",
    metadata,
    Column("request_id", Text, ForeignKey("requests.id"), primary_key=True),
    Column("index", Integer, primary_key=True),  # which sample
    Column("seed", BigInteger, nullable=False),
    Column("file_key", Text, ForeignKey("files.key"), nullable=False),
    Column("flagged", Boolean, nullable=False, server_default=false()),  # whether the safety checker blacked it out
)

usage_lines = Table(  # only ever added to
    "usage_lines",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("request_id", Text, ForeignKey("requests.id"), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),  # of the attempt
    Column("stage", Text, nullable=False),  # encode, denoise, preview or decode; "price" for the charge itself
    Column("calls", Integer, nullable=False),
    Column("device_ns", BigInteger, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),  # 0 for all stages but "price"
    Column("currency", Text, nullable=False),
    Column("created_us", Moment, nullable=False),
    Column("quantity_micro", BigInteger),  # millionths of the request's price_unit that are charged; of "price" alone
    CheckConstraint("calls >= 0", name="calls"),
    CheckConstraint("device_ns >= 0", name="device"),
)
Index("ix_usage_lines_tenant", usage_lines.c.tenant_id, usage_lines.c.created_us)
_where("uq_usage_lines_price", usage_lines.c.request_id, condition="stage = 'price'", unique=True)

accounts = Table(  # only ever added to
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),  # of `laterna.billing.ledger`
    Column("tenant_id", Text, ForeignKey("tenants.id")),  # whose credit it is; absent: the operator's own
    Column("currency", Text, nullable=False),
    Column("created_us", Moment, nullable=False),
)

entries = Table(  # the ledger: only ever added to; every row debits as much as it credits
    "entries",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("transaction_id", Text, nullable=False),  # what happened: entries of one transaction share it
    Column("kind", Text, nullable=False),
    Column("debit", Text, ForeignKey("accounts.id"), nullable=False),
    Column("credit", Text, ForeignKey("accounts.id"), nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),  # of both accounts
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("request_id", Text, ForeignKey("requests.id")),  # of a charge
    Column("note", Text, nullable=False, server_default=""),  # for people
    Column("created_us", Moment, nullable=False),
    CheckConstraint("amount_nano > 0", name="amount"),
    CheckConstraint("debit <> credit", name="two_accounts"),
    CheckConstraint(_one_of("kind", ("charge", "top_up", "withdrawal")), name="kind"),
    CheckConstraint("(kind = 'charge') = (request_id IS NOT NULL)", name="charge_has_request"),
    UniqueConstraint("transaction_id", "debit", "credit"),
)
Index("ix_entries_tenant", entries.c.tenant_id, entries.c.created_us)
_where("uq_entries_charge", entries.c.request_id, condition="kind = 'charge'", unique=True)

purses = Table(  # what the ledger says of a tenant, added up, and what it may spend; absent: nothing yet, no limit
    "purses",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("balance_nano", BigInteger, nullable=False, server_default="0"),  # credit left; below 0: owed
    Column("month", Integer, nullable=False, server_default="0"),  # UTC, as 202611; never goes back
    Column("spent_nano", BigInteger, nullable=False, server_default="0"),  # charged in that month
    Column("monthly_nano", BigInteger),  # no more than this in a month; absent: no limit
    Column("warn_nano", BigInteger),  # above this in a month it is warned; absent: never
    Column("prepaid", Boolean, nullable=False, server_default=false()),  # whether nothing runs without credit
    CheckConstraint("spent_nano >= 0", name="spent"),
    CheckConstraint("monthly_nano >= 0", name="monthly"),
    CheckConstraint("warn_nano >= 0", name="warn"),
)

events = Table(  # only ever added to until their request is settled
    "events",
    metadata,
    Column("request_id", Text, ForeignKey("requests.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),  # from 1
    Column("time_us", Moment, nullable=False),
    Column("kind", Text, nullable=False),  # of `laterna.queue.events`
    Column("level", Text),  # of a log line: DEBUG, INFO, WARN or ERROR
    Column("message", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("request_id", Text, ForeignKey("requests.id"), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("created_us", Moment, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # since it was written or last asked for anew
    Column("next_us", Moment),  # when it is due; absent: delivered or given up
    Column("delivered_us", Moment),  # absent: not yet, or never
    Column("last_error", Text),  # of the latest try that failed
    Column("host", Text),  # of the URL, with its port: who may be slow; absent: written by an earlier version
)
_where("ix_outbox_due", outbox.c.next_us, condition="next_us IS NOT NULL")

tidings = Table(  # what a webhook is told before the end: each is tried once, and gone
    "tidings",
    metadata,
    Column("id", Text, primary_key=True),  # rises with what happens
    Column("request_id", Text, ForeignKey("requests.id"), nullable=False),
    Column("event", Text, nullable=False),  # of `laterna.store.states`, but for the end
    Column("host", Text, nullable=False),  # of the URL, with its port: who may be slow
    UniqueConstraint("request_id", "event"),
    CheckConstraint(_one_of("event", (START, OUTPUT, LOGS)), name="event"),
)

deliveries = Table(  # each try at a webhook, as it went
    "deliveries",
    metadata,
    Column("outbox_id", Text, ForeignKey("outbox.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("began_us", Moment, nullable=False),
    Column("took_us", BigInteger, nullable=False),
    Column("status", Integer),  # of the receiver's answer; absent: there was none
    Column("error", Text),  # absent: it was taken
)
