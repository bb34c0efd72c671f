"""A request may have a time to live, after which it is cancelled."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

OPEN = "cancel_by_us IS NOT NULL AND cancel_us IS NULL AND state <> 'settled'"


def upgrade() -> None:
    op.add_column("requests", sa.Column("cancel_by_us", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_requests_cancel_by",
        "requests",
        ["cancel_by_us"],
        unique=False,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
