"""Requests may belong to a trace."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("requests", sa.Column("traceparent", sa.Text(), nullable=True))
