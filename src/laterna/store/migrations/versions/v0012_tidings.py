"""Webhooks may be told of more than the end."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("requests", sa.Column("webhook_events", sa.Text(), nullable=True))
    op.create_table(
        "tidings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.CheckConstraint("event IN ('start', 'output', 'logs')", name=op.f("ck_tidings_event")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_tidings_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tidings")),
        sa.UniqueConstraint("request_id", "event", name=op.f("uq_tidings_request_id_event")),
    )
