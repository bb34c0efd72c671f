"""Requests know their work and what they were charged, so that those that wait are found by tenant, model and class."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("requests", sa.Column("work", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("requests", sa.Column("charged_ns", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_requests_lanes",
        "requests",
        ["tenant_id", "card_id", "priority", "work", "created_us", "id", "state"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
