"""Requests may share a hint, by which they go to the same worker."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("requests", sa.Column("runner_hint", sa.Text(), nullable=True))
