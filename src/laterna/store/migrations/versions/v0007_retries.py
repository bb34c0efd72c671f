"""Requests know their retries by cause and who may read their outputs, and attempts why they ended."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# As it was found until now: the last attempt, after one that was lost or failed. A held one is given back at the start.
ALONE = """UPDATE requests SET alone = TRUE WHERE state <> 'settled' AND (
  (lease_token IS NULL AND attempts >= 1 AND attempts >= max_attempts - 1)
  OR (lease_token IS NOT NULL AND attempts > 1 AND attempts = max_attempts)
)"""


def upgrade() -> None:
    op.add_column("requests", sa.Column("retries", sa.Text(), nullable=True))
    op.add_column("requests", sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(ALONE)
    op.add_column("attempts", sa.Column("error_code", sa.Text(), nullable=True))
    op.add_column("requests", sa.Column("access", sa.Text(), nullable=True))
    op.add_column("files", sa.Column("acl", sa.Text(), nullable=True))
