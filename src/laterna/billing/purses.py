"""A tenant's purse in one currency: the ledger's entries added up, and what it may spend. Without limits it may all.

What unsettled requests were quoted is held of it: their own rows are the reservation, so that settling one frees what
it held in the same transaction and nothing can be held for ever. Spent and held together never exceed the limit,
whatever the order of submits and settles, also when a month turns: what is held counts in every month until it is spent
in one. A month never comes back, even where the clock does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, literal_column, select, update

from laterna.errors import OutOfBudget
from laterna.store.schema import purses, requests

_OF_TENANT = select(purses).where(purses.c.tenant_id == bindparam("tenant")).order_by(purses.c.currency)
_FOR_SUBMIT = _OF_TENANT.with_for_update()  # one submit of a tenant after another: each sees what the last one held

# What its unsettled requests were quoted.
_HELD = select(func.coalesce(func.sum(requests.c.price_nano), 0)).where(
    requests.c.tenant_id == bindparam("tenant"),
    requests.c.currency == bindparam("currency"),
    requests.c.state != literal_column("'settled'"),
    requests.c.price_nano > literal_column("0"),
)

_ONE = (purses.c.tenant_id == bindparam("tenant"), purses.c.currency == bindparam("of_currency"))
_BEGIN = insert(purses)
_PAY = update(purses).where(*_ONE).values(balance_nano=purses.c.balance_nano + bindparam("amount"))
_SPEND = (
    update(purses)
    .where(*_ONE)
    .values(
        balance_nano=purses.c.balance_nano - bindparam("amount"),
        spent_nano=case((purses.c.month < bindparam("now_month"), 0), else_=purses.c.spent_nano) + bindparam("amount"),
        month=case((purses.c.month < bindparam("now_month"), bindparam("now_month")), else_=purses.c.month),
    )
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a tenant may spend in one currency."""

    monthly_nano: int | None = None  # charged in one UTC month; absent: no limit
    warn_nano: int | None = None  # spent and held in one month beyond which it is warned; absent: never
    prepaid: bool = False  # whether nothing runs that its credit does not cover


@dataclass(frozen=True, kw_only=True)
class Purse:
    """As it is now."""

    currency: str
    balance_nano: int  # credit; below 0: owed
    held_nano: int  # quoted to what is not settled
    spent_nano: int  # charged this month
    limits: Limits

    @property
    def warned(self) -> bool:
        return self.limits.warn_nano is not None and self.spent_nano + self.held_nano > self.limits.warn_nano


def month_of(now_us: int) -> int:
    """The UTC month, as 202611."""
    moment = datetime.fromtimestamp(now_us / 1e6, UTC)
    return moment.year * 100 + moment.month


def purses_of(connection: Connection, tenant: str, now_us: int) -> list[Purse]:
    """All that it has, by currency."""
    return [
        Purse(
            currency=row.currency,
            balance_nano=row.balance_nano,
            held_nano=_held(connection, tenant, row.currency),
            spent_nano=row.spent_nano if row.month >= month_of(now_us) else 0,
            limits=Limits(monthly_nano=row.monthly_nano, warn_nano=row.warn_nano, prepaid=row.prepaid),
        )
        for row in connection.execute(_OF_TENANT, {"tenant": tenant})
    ]


def admit(connection: Connection, tenant: str, currency: str, quoted_nano: int, now_us: int) -> str | None:
    """Whether one more request fits, within the transaction that inserts it; a warning where there is one.

    Raises OutOfBudget where its quote and what is held and spent already exceed a limit.
    """
    if not quoted_nano:
        return None
    rows = connection.execute(_FOR_SUBMIT, {"tenant": tenant}).all()
    if not any(row.prepaid or row.monthly_nano is not None or row.warn_nano is not None for row in rows):
        return None
    row = next((row for row in rows if row.currency == currency), None)
    if row is None:
        if all(row.monthly_nano is None and not row.prepaid for row in rows):
            return None
        others = ", ".join(row.currency for row in rows)
        raise OutOfBudget(f"the model is priced in {currency}, of which there is no budget, only of {others}")
    held = _held(connection, tenant, currency)
    spent = _spent(connection, tenant, row, now_us)
    _check(row.monthly_nano, spent, held, quoted_nano, currency)
    if row.prepaid and row.balance_nano - held < quoted_nano:
        left = money(row.balance_nano - held, currency)
        raise OutOfBudget(
            f"the request costs up to {money(quoted_nano, currency)}, the credit left is {left}; top it up"
        )
    return _warning(row.warn_nano, spent + held + quoted_nano, currency)


def spend(connection: Connection, tenant: str, currency: str, amount_nano: int, now_us: int) -> None:
    """A charge was posted. A clock that goes back stays in the later month."""
    named = {"tenant": tenant, "of_currency": currency, "amount": amount_nano, "now_month": month_of(now_us)}
    if not connection.execute(_SPEND, named).rowcount:
        begin(connection, tenant, currency)
        connection.execute(_SPEND, named)


def pay(connection: Connection, tenant: str, currency: str, amount_nano: int) -> None:
    """Credit was added; taken back where the amount is below 0."""
    named = {"tenant": tenant, "of_currency": currency, "amount": amount_nano}
    if not connection.execute(_PAY, named).rowcount:
        begin(connection, tenant, currency)
        connection.execute(_PAY, named)


def limit(connection: Connection, tenant: str, currency: str, limits: Limits) -> None:
    """From now on it may spend so much; what was admitted before stays admitted."""
    values = {"monthly_nano": limits.monthly_nano, "warn_nano": limits.warn_nano, "prepaid": limits.prepaid}
    statement = update(purses).where(*_ONE).values(**values)
    named = {"tenant": tenant, "of_currency": currency}
    if not connection.execute(statement, named).rowcount:
        begin(connection, tenant, currency)
        connection.execute(statement, named)


def begin(connection: Connection, tenant: str, currency: str) -> None:
    connection.execute(_BEGIN, {"tenant_id": tenant, "currency": currency})


def money(nano: int, currency: str) -> str:
    """For people: exact, with at least two decimals."""
    sign, whole, rest = "-" if nano < 0 else "", abs(nano) // 10**9, abs(nano) % 10**9
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')} {currency}"


def _spent(connection: Connection, tenant: str, row: Row[Any], now_us: int) -> int:
    """In the month that it is; where a new one has begun, that is written down, and no charge counts in the old one."""
    if row.month < month_of(now_us):
        spend(connection, tenant, row.currency, 0, now_us)
        return 0
    return int(row.spent_nano)


def _held(connection: Connection, tenant: str, currency: str) -> int:
    return int(connection.execute(_HELD, {"tenant": tenant, "currency": currency}).scalar_one())


def _check(monthly_nano: int | None, spent: int, held: int, quoted: int, currency: str) -> None:
    if monthly_nano is not None and spent + held + quoted > monthly_nano:
        raise OutOfBudget(
            f"the request costs up to {money(quoted, currency)}; of the month's {money(monthly_nano, currency)} "
            f"{money(spent, currency)} are spent and {money(held, currency)} held for requests that are not over; "
            "wait for those, for the next month (UTC), or ask the operator for more"
        )


def _warning(warn_nano: int | None, used: int, currency: str) -> str | None:
    if warn_nano is None or used <= warn_nano:
        return None
    return f"{money(used, currency)} of this month are spent or held: more than {money(warn_nano, currency)}"
