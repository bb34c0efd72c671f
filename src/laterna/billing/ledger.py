"""The ledger: double entry, append-only, in billionths of a currency.

Each entry moves one amount from the account that it credits to the account that it debits, so that no entry, and no
transaction made of them, can be out of balance. Three kinds of account: a tenant's credit (what it has paid and not
used; below zero, what it owes), what the operator has received, and what the operator has earned. Nothing here adds up:
see `laterna.billing.purses` for balances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select

from laterna.store.schema import accounts, entries

CHARGE = "charge"
TOP_UP = "top_up"
WITHDRAWAL = "withdrawal"

_KNOWN = select(accounts.c.id).where(accounts.c.id.in_(bindparam("ids", expanding=True)))
_OPEN = insert(accounts)
_POST = insert(entries)

# What happened under a transaction's id.
_OF_TRANSACTION = select(entries).where(entries.c.transaction_id == bindparam("transaction"))

# What moved a tenant's credit in a span of time, by kind.
_MOVED = (
    select(entries.c.kind, func.sum(entries.c.amount_nano).label("amount"))
    .where(
        entries.c.tenant_id == bindparam("tenant"),
        entries.c.currency == bindparam("currency"),
        entries.c.created_us >= bindparam("since"),
        entries.c.created_us < bindparam("until"),
    )
    .group_by(entries.c.kind)
)


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One entry."""

    transaction_id: str
    kind: str  # CHARGE, TOP_UP or WITHDRAWAL
    debit: str  # account
    credit: str  # account
    amount_nano: int  # above 0
    currency: str
    tenant: str  # id
    request_id: str | None  # of a charge
    note: str  # for people; empty for charges
    created_us: int


def credit_account(tenant: str, currency: str) -> str:
    return f"credit/{tenant}/{currency}"


def earned_account(currency: str) -> str:
    return f"earned/{currency}"


def received_account(currency: str) -> str:
    return f"received/{currency}"


def charge(connection: Connection, tenant: str, currency: str, request_id: str, amount_nano: int, now_us: int) -> None:
    """The tenant's credit pays for a request. The database refuses a second charge, and one without its usage line."""
    _post(
        connection,
        Posting(
            transaction_id=f"{CHARGE}/{request_id}",
            kind=CHARGE,
            debit=credit_account(tenant, currency),
            credit=earned_account(currency),
            amount_nano=amount_nano,
            currency=currency,
            tenant=tenant,
            request_id=request_id,
            note="",
            created_us=now_us,
        ),
    )


def pay(
    connection: Connection, tenant: str, currency: str, reference: str, amount_nano: int, note: str, now_us: int
) -> None:
    """The tenant's credit grows by what the operator received; shrinks where the amount is below 0."""
    credit, received = credit_account(tenant, currency), received_account(currency)
    _post(
        connection,
        Posting(
            transaction_id=reference,
            kind=TOP_UP if amount_nano > 0 else WITHDRAWAL,
            debit=received if amount_nano > 0 else credit,
            credit=credit if amount_nano > 0 else received,
            amount_nano=abs(amount_nano),
            currency=currency,
            tenant=tenant,
            request_id=None,
            note=note,
            created_us=now_us,
        ),
    )


def find(connection: Connection, transaction_id: str) -> Sequence[Posting]:
    """The entries of a transaction; none where there was no such."""
    rows = connection.execute(_OF_TRANSACTION, {"transaction": transaction_id})
    return [
        Posting(
            transaction_id=row.transaction_id,
            kind=row.kind,
            debit=row.debit,
            credit=row.credit,
            amount_nano=row.amount_nano,
            currency=row.currency,
            tenant=row.tenant_id,
            request_id=row.request_id,
            note=row.note,
            created_us=row.created_us,
        )
        for row in rows
    ]


def moved(connection: Connection, tenant: str, currency: str, since_us: int, until_us: int) -> dict[str, int]:
    """Kind of entry -> what the tenant's credit grew by in that time, below 0 for what it shrank by."""
    named = {"tenant": tenant, "currency": currency, "since": since_us, "until": until_us}
    return {kind: int(sum_) * (1 if kind == TOP_UP else -1) for kind, sum_ in connection.execute(_MOVED, named)}


def _post(connection: Connection, entry: Posting) -> None:
    _open_accounts(connection, entry)
    connection.execute(
        _POST,
        {
            "transaction_id": entry.transaction_id,
            "kind": entry.kind,
            "debit": entry.debit,
            "credit": entry.credit,
            "amount_nano": entry.amount_nano,
            "currency": entry.currency,
            "tenant_id": entry.tenant,
            "request_id": entry.request_id,
            "note": entry.note,
            "created_us": entry.created_us,
        },
    )


def _open_accounts(connection: Connection, entry: Posting) -> None:
    """Those that the entry names and that are not there yet."""
    wanted = [entry.debit, entry.credit]
    known = set(connection.execute(_KNOWN, {"ids": wanted}).scalars())
    own = credit_account(entry.tenant, entry.currency)
    missing = [
        {
            "id": name,
            "tenant_id": entry.tenant if name == own else None,
            "currency": entry.currency,
            "created_us": entry.created_us,
        }
        for name in wanted
        if name not in known
    ]
    if missing:
        connection.execute(_OPEN, missing)
