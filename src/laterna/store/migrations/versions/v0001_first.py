"""The first schema."""

import sqlalchemy as sa
from alembic import op

from laterna.store.migrations import triggers

revision = "0001"
down_revision = None

TRIGGERS = (
    """CREATE TRIGGER requests_begin_waiting
BEFORE INSERT ON requests
WHEN NEW.state NOT IN ('blocked', 'scheduled', 'queued')
BEGIN SELECT RAISE(ABORT, 'a request begins waiting'); END""",
    """CREATE TRIGGER requests_go_legal_ways
BEFORE UPDATE OF state ON requests
WHEN NOT (
  OLD.state = NEW.state
  OR OLD.state = 'blocked' AND NEW.state IN ('scheduled', 'queued', 'settled')
  OR OLD.state = 'scheduled' AND NEW.state IN ('queued', 'settled')
  OR OLD.state = 'queued' AND NEW.state IN ('leased', 'settled')
  OR OLD.state = 'leased' AND NEW.state IN ('running', 'scheduled', 'queued', 'settled')
  OR OLD.state = 'running' AND NEW.state IN ('scheduled', 'queued', 'settled')
)
BEGIN SELECT RAISE(ABORT, 'illegal transition of a request'); END""",
    """CREATE TRIGGER requests_stay_settled
BEFORE UPDATE OF outcome, settled_us, error_code, attempts, price_nano, currency ON requests
WHEN OLD.state = 'settled'
BEGIN SELECT RAISE(ABORT, 'a settled request does not change'); END""",
    """CREATE TRIGGER requests_stay
BEFORE DELETE ON requests
WHEN 1
BEGIN SELECT RAISE(ABORT, 'requests are kept'); END""",
    """CREATE TRIGGER outputs_come_before_settling
BEFORE INSERT ON outputs
WHEN (SELECT state FROM requests WHERE id = NEW.request_id) = 'settled'
BEGIN SELECT RAISE(ABORT, 'the request was settled before'); END""",
    """CREATE TRIGGER usage_lines_come_before_settling
BEFORE INSERT ON usage_lines
WHEN (SELECT state FROM requests WHERE id = NEW.request_id) = 'settled'
BEGIN SELECT RAISE(ABORT, 'the request was settled before'); END""",
    """CREATE TRIGGER outbox_come_before_settling
BEFORE INSERT ON outbox
WHEN (SELECT state FROM requests WHERE id = NEW.request_id) = 'settled'
BEGIN SELECT RAISE(ABORT, 'the request was settled before'); END""",
    """CREATE TRIGGER usage_lines_do_not_change
BEFORE UPDATE ON usage_lines
WHEN 1
BEGIN SELECT RAISE(ABORT, 'usage_lines are only added'); END""",
    """CREATE TRIGGER usage_lines_stay
BEFORE DELETE ON usage_lines
WHEN 1
BEGIN SELECT RAISE(ABORT, 'usage_lines are only added'); END""",
    """CREATE TRIGGER events_do_not_change
BEFORE UPDATE ON events
WHEN 1
BEGIN SELECT RAISE(ABORT, 'events are only added'); END""",
    """CREATE TRIGGER events_stay
BEFORE DELETE ON events
WHEN 1
BEGIN SELECT RAISE(ABORT, 'events are only added'); END""",
)


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_tenants_weight")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
    )
    op.create_index(op.f("ix_api_keys_tenant_id"), "api_keys", ["tenant_id"], unique=False)
    op.create_table(
        "shares",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("virtual_ns", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_shares_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_shares")),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("model_revision", sa.Text(), nullable=False),
        sa.Column("plan_digest", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_details", sa.Text(), nullable=True),
        sa.Column("start_by_us", sa.BigInteger(), nullable=True),
        sa.Column("finish_by_us", sa.BigInteger(), nullable=True),
        sa.Column("not_before_us", sa.BigInteger(), nullable=True),
        sa.Column("cancel_us", sa.BigInteger(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("parent_run_id", sa.Text(), nullable=True),
        sa.Column("parent_node", sa.Text(), nullable=True),
        sa.Column("parent_index", sa.Integer(), nullable=True),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("store_io", sa.Boolean(), nullable=False),
        sa.Column("keep_seconds", sa.BigInteger(), nullable=True),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("price_nano", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_worker", sa.Text(), nullable=True),
        sa.Column("lease_expires_us", sa.BigInteger(), nullable=True),
        sa.Column("inference_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(outcome IS NOT NULL AND outcome <> 'ok') = (error_code IS NOT NULL)",
            name=op.f("ck_requests_error_has_code"),
        ),
        sa.CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name=op.f("ck_requests_settled_has_outcome")),
        sa.CheckConstraint("(state = 'settled') = (settled_us IS NOT NULL)", name=op.f("ck_requests_settled_has_time")),
        sa.CheckConstraint(
            "(state IN ('leased', 'running')) = (lease_token IS NOT NULL)", name=op.f("ck_requests_held_has_lease")
        ),
        sa.CheckConstraint("outcome IN ('ok', 'failed', 'cancelled', 'expired')", name=op.f("ck_requests_outcome")),
        sa.CheckConstraint("state <> 'running' OR started_us IS NOT NULL", name=op.f("ck_requests_running_has_start")),
        sa.CheckConstraint(
            "state <> 'scheduled' OR not_before_us IS NOT NULL", name=op.f("ck_requests_scheduled_has_time")
        ),
        sa.CheckConstraint(
            "state IN ('blocked', 'scheduled', 'queued', 'leased', 'running', 'settled')",
            name=op.f("ck_requests_state"),
        ),
        sa.CheckConstraint(
            "(lease_token IS NULL) = (lease_expires_us IS NULL)", name=op.f("ck_requests_lease_expires")
        ),
        sa.CheckConstraint("(lease_token IS NULL) = (lease_worker IS NULL)", name=op.f("ck_requests_lease_has_worker")),
        sa.CheckConstraint("attempts BETWEEN 0 AND max_attempts", name=op.f("ck_requests_attempts")),
        sa.CheckConstraint("price_nano >= 0", name=op.f("ck_requests_price")),
        sa.CheckConstraint("priority BETWEEN 0 AND 2", name=op.f("ck_requests_priority")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_requests_key_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_requests_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name=op.f("uq_requests_tenant_id_idempotency_key")),
    )
    op.create_index(
        "ix_requests_expires",
        "requests",
        ["expires_us"],
        unique=False,
        sqlite_where=sa.text("expires_us IS NOT NULL AND state = 'settled'"),
        postgresql_where=sa.text("expires_us IS NOT NULL AND state = 'settled'"),
    )
    op.create_index(
        "ix_requests_finish_by",
        "requests",
        ["finish_by_us"],
        unique=False,
        sqlite_where=sa.text("finish_by_us IS NOT NULL AND state <> 'settled'"),
        postgresql_where=sa.text("finish_by_us IS NOT NULL AND state <> 'settled'"),
    )
    op.create_index(
        "ix_requests_lease",
        "requests",
        ["lease_expires_us"],
        unique=False,
        sqlite_where=sa.text("lease_expires_us IS NOT NULL"),
        postgresql_where=sa.text("lease_expires_us IS NOT NULL"),
    )
    op.create_index("ix_requests_list", "requests", ["tenant_id", "created_us", "id"], unique=False)
    op.create_index(
        "ix_requests_next",
        "requests",
        ["priority", "created_us", "id", "state", "card_id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_requests_scheduled",
        "requests",
        ["not_before_us", "state"],
        unique=False,
        sqlite_where=sa.text("state = 'scheduled'"),
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_requests_start_by",
        "requests",
        ["start_by_us"],
        unique=False,
        sqlite_where=sa.text("start_by_us IS NOT NULL AND state <> 'settled'"),
        postgresql_where=sa.text("start_by_us IS NOT NULL AND state <> 'settled'"),
    )
    op.create_index(
        "ix_requests_worker",
        "requests",
        ["lease_worker"],
        unique=False,
        sqlite_where=sa.text("lease_worker IS NOT NULL"),
        postgresql_where=sa.text("lease_worker IS NOT NULL"),
    )
    op.create_table(
        "attempts",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("leased_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_attempts_request_id")),
        sa.PrimaryKeyConstraint("request_id", "number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "events",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_events_request_id")),
        sa.PrimaryKeyConstraint("request_id", "seq", name=op.f("pk_events")),
    )
    op.create_table(
        "files",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("deleted_us", sa.BigInteger(), nullable=True),
        sa.Column("purged_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("access IN ('link', 'tenant', 'inline')", name=op.f("ck_files_access")),
        sa.CheckConstraint("data IS NULL OR access = 'inline'", name=op.f("ck_files_data_is_inline")),
        sa.CheckConstraint("purged_us IS NULL OR deleted_us IS NOT NULL", name=op.f("ck_files_purged_is_deleted")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_files_request_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_files_tenant_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_files")),
    )
    op.create_index(
        "ix_files_deleted",
        "files",
        ["deleted_us"],
        unique=False,
        sqlite_where=sa.text("deleted_us IS NOT NULL AND purged_us IS NULL"),
        postgresql_where=sa.text("deleted_us IS NOT NULL AND purged_us IS NULL"),
    )
    op.create_index(
        "ix_files_expires",
        "files",
        ["expires_us"],
        unique=False,
        sqlite_where=sa.text("expires_us IS NOT NULL AND deleted_us IS NULL"),
        postgresql_where=sa.text("expires_us IS NOT NULL AND deleted_us IS NULL"),
    )
    op.create_index("ix_files_list", "files", ["tenant_id", "created_us", "key"], unique=False)
    op.create_index(op.f("ix_files_request_id"), "files", ["request_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_outbox_request_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_outbox_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("request_id", name=op.f("uq_outbox_request_id")),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["next_us"],
        unique=False,
        sqlite_where=sa.text("next_us IS NOT NULL"),
        postgresql_where=sa.text("next_us IS NOT NULL"),
    )
    op.create_table(
        "payloads",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("generation", sa.LargeBinary(), nullable=False),
        sa.Column("raw_input", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_payloads_request_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_payloads")),
    )
    op.create_table(
        "usage_lines",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("device_ns", sa.BigInteger(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("calls >= 0", name=op.f("ck_usage_lines_calls")),
        sa.CheckConstraint("device_ns >= 0", name=op.f("ck_usage_lines_device")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_usage_lines_request_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_usage_lines_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_lines")),
    )
    op.create_index(op.f("ix_usage_lines_request_id"), "usage_lines", ["request_id"], unique=False)
    op.create_index("ix_usage_lines_tenant", "usage_lines", ["tenant_id", "created_us"], unique=False)
    op.create_table(
        "outputs",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_key"], ["files.key"], name=op.f("fk_outputs_file_key")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_outputs_request_id")),
        sa.PrimaryKeyConstraint("request_id", "index", name=op.f("pk_outputs")),
    )
    triggers.create(TRIGGERS)
