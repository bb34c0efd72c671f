"""Attempts know their lease, usage and timeline; usage may become known after settling; events may expire."""

import sqlalchemy as sa
from alembic import op

from laterna.store.migrations import triggers

revision = "0002"
down_revision = "0001"

TRIGGERS = (
    """CREATE TRIGGER charges_come_before_settling
BEFORE INSERT ON usage_lines
WHEN NEW.amount_nano <> 0 AND (SELECT state FROM requests WHERE id = NEW.request_id) = 'settled'
BEGIN SELECT RAISE(ABORT, 'the request was settled before'); END""",
    """CREATE TRIGGER events_stay
BEFORE DELETE ON events
WHEN (SELECT state FROM requests WHERE id = OLD.request_id) <> 'settled'
BEGIN SELECT RAISE(ABORT, 'events are kept while their request lives'); END""",
)


def upgrade() -> None:
    op.add_column("attempts", sa.Column("lease_token", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("device_ns", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("timeline", sa.LargeBinary(), nullable=True))
    triggers.drop("usage_lines_come_before_settling", "usage_lines")
    triggers.drop("events_stay", "events")
    triggers.create(TRIGGERS)
    op.add_column("outbox", sa.Column("host", sa.Text(), nullable=True))
