"""Keys have models, a part in the realtime class, a time of last use and a former secret; tenants have limits, and know
what their files take.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

STORED = """UPDATE tenants SET stored_bytes = (
    SELECT COALESCE(SUM(size_bytes), 0) FROM files WHERE tenant_id = tenants.id AND deleted_us IS NULL
)"""


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("models", sa.Text(), server_default="*", nullable=False))
    op.add_column("api_keys", sa.Column("realtime", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("api_keys", sa.Column("used_us", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("former_sha256", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("former_until_us", sa.BigInteger(), nullable=True))
    op.create_index("uq_api_keys_former", "api_keys", ["former_sha256"], unique=True)
    op.execute(sa.text("UPDATE api_keys SET realtime = :yes WHERE scopes LIKE '%ADMIN%'").bindparams(yes=True))
    op.add_column("tenants", sa.Column("concurrency", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("queue_length", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("storage_bytes", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("stored_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(STORED)
