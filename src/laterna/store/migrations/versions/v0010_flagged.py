"""Outputs know whether the safety checker flagged them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("outputs", sa.Column("flagged", sa.Boolean(), server_default=sa.false(), nullable=False))
