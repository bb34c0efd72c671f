"""The ledger: accounts, entries and purses; what was quoted and charged is known in its unit."""

import sqlalchemy as sa
from alembic import op

from laterna.store.migrations import triggers

revision = "0004"
down_revision = "0003"

HELD = "state <> 'settled' AND price_nano > 0"
TRIGGERS = (
    """CREATE TRIGGER charges_keep_to_the_quote
BEFORE INSERT ON usage_lines
WHEN NEW.amount_nano < 0 OR NEW.amount_nano > (SELECT price_nano FROM requests WHERE id = NEW.request_id)
BEGIN SELECT RAISE(ABORT, 'no more is charged than was quoted'); END""",
    """CREATE TRIGGER quotes_stay
BEFORE UPDATE OF price_nano, currency, price_unit, unit_nano, quantity_micro ON requests
WHEN 1
BEGIN SELECT RAISE(ABORT, 'a quote is a promise'); END""",
    """CREATE TRIGGER charges_have_their_usage_line
BEFORE INSERT ON entries
WHEN NEW.kind = 'charge' AND NOT EXISTS (
  SELECT 1 FROM usage_lines WHERE request_id = NEW.request_id AND stage = 'price'
  AND amount_nano = NEW.amount_nano AND currency = NEW.currency AND tenant_id = NEW.tenant_id
)
BEGIN SELECT RAISE(ABORT, 'a charge is that of its usage line'); END""",
    """CREATE TRIGGER entries_keep_one_currency
BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM accounts WHERE id IN (NEW.debit, NEW.credit) AND currency <> NEW.currency)
BEGIN SELECT RAISE(ABORT, 'both accounts are of the currency of the entry'); END""",
    """CREATE TRIGGER accounts_stay
BEFORE DELETE ON accounts
WHEN 1
BEGIN SELECT RAISE(ABORT, 'accounts are only added'); END""",
    """CREATE TRIGGER entries_stay
BEFORE DELETE ON entries
WHEN 1
BEGIN SELECT RAISE(ABORT, 'entries are only added'); END""",
    """CREATE TRIGGER accounts_do_not_change
BEFORE UPDATE ON accounts
WHEN 1
BEGIN SELECT RAISE(ABORT, 'accounts are only added'); END""",
    """CREATE TRIGGER entries_do_not_change
BEFORE UPDATE ON entries
WHEN 1
BEGIN SELECT RAISE(ABORT, 'entries are only added'); END""",
)


def upgrade() -> None:
    for column in (sa.Column("price_unit", sa.Text()), sa.Column("unit_nano", sa.BigInteger())):
        op.add_column("requests", column)
    for table in ("requests", "usage_lines"):
        op.add_column(table, sa.Column("quantity_micro", sa.BigInteger()))
    for name, table, columns, condition in (
        ("ix_requests_held", "requests", ["tenant_id", "currency", "price_nano"], HELD),
        ("uq_usage_lines_price", "usage_lines", ["request_id"], "stage = 'price'"),
    ):
        picked = sa.text(condition)
        unique = name.startswith("uq")
        op.create_index(name, table, columns, unique=unique, sqlite_where=picked, postgresql_where=picked)
    _accounts()
    _entries()
    _purses()
    triggers.create(TRIGGERS)


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_accounts_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_nano > 0", name=op.f("ck_entries_amount")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_entries_two_accounts")),
        sa.CheckConstraint("kind IN ('charge', 'top_up', 'withdrawal')", name=op.f("ck_entries_kind")),
        sa.CheckConstraint("(kind = 'charge') = (request_id IS NOT NULL)", name=op.f("ck_entries_charge_has_request")),
        sa.ForeignKeyConstraint(["debit"], ["accounts.id"], name=op.f("fk_entries_debit")),
        sa.ForeignKeyConstraint(["credit"], ["accounts.id"], name=op.f("fk_entries_credit")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_entries_tenant_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_entries_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.UniqueConstraint("transaction_id", "debit", "credit", name=op.f("uq_entries_transaction_id_debit_credit")),
    )
    op.create_index("ix_entries_tenant", "entries", ["tenant_id", "created_us"], unique=False)
    charge = sa.text("kind = 'charge'")
    op.create_index(
        "uq_entries_charge", "entries", ["request_id"], unique=True, sqlite_where=charge, postgresql_where=charge
    )


def _purses() -> None:
    op.create_table(
        "purses",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("balance_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("month", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("monthly_nano", sa.BigInteger(), nullable=True),
        sa.Column("warn_nano", sa.BigInteger(), nullable=True),
        sa.Column("prepaid", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("spent_nano >= 0", name=op.f("ck_purses_spent")),
        sa.CheckConstraint("monthly_nano >= 0", name=op.f("ck_purses_monthly")),
        sa.CheckConstraint("warn_nano >= 0", name=op.f("ck_purses_warn")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_purses_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "currency", name=op.f("pk_purses")),
    )
