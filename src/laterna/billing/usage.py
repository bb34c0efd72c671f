"""Usage lines: the device time that each attempt took, by stage, whatever became of it; and what the request costs.

Every charge traces to them (`laterna.billing.charges`). That each attempt's are written once is its callers' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select

from laterna.billing.quotes import Quote
from laterna.contracts.messages import Spent
from laterna.store.schema import usage_lines

PRICE = "price"  # the stage of a line that charges

_INSERT = insert(usage_lines)

# What one request used.
_OF_REQUEST = (
    select(usage_lines)
    .where(usage_lines.c.tenant_id == bindparam("tenant"), usage_lines.c.request_id == bindparam("request"))
    .order_by(usage_lines.c.id)
)


@dataclass(frozen=True, kw_only=True)
class UsageLine:
    """Device time of one stage of one attempt, or the charge."""

    request_id: str
    attempt: int
    outcome: str  # of the attempt
    stage: str  # encode, denoise, preview, decode, or PRICE
    calls: int  # on the device
    device_ns: int
    amount_nano: int  # billionths of the currency; 0 except on a line of PRICE
    currency: str
    created_us: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whose usage is written down."""

    tenant: str  # id
    request_id: str
    attempt: int
    outcome: str  # of the attempt
    currency: str


def record(connection: Connection, account: Account, spent: Iterable[Spent], now_us: int) -> None:
    """Write down what an attempt used."""
    lines = [{"stage": item.stage, "calls": item.calls, "device_ns": item.device_ns} for item in spent]
    _write(connection, account, [{**line, "amount_nano": 0} for line in lines], now_us)


def price(connection: Connection, account: Account, cost: Quote, now_us: int) -> None:
    """Write down what it costs. The database refuses a second one, more than was quoted, and any after it settled."""
    line = {"stage": PRICE, "calls": 0, "device_ns": 0, "amount_nano": cost.amount_nano}
    _write(connection, account, [{**line, "quantity_micro": cost.quantity_micro}], now_us)


def _write(connection: Connection, account: Account, lines: list[dict[str, object]], now_us: int) -> None:
    common = {
        "tenant_id": account.tenant,
        "request_id": account.request_id,
        "attempt": account.attempt,
        "outcome": account.outcome,
        "currency": account.currency,
        "created_us": now_us,
    }
    if lines:
        connection.execute(_INSERT, [{**common, **line} for line in lines])


def usage_of(connection: Connection, tenant: str, request_id: str) -> list[UsageLine]:
    """The lines of the tenant's request, in the order in which they were written."""
    rows = connection.execute(_OF_REQUEST, {"tenant": tenant, "request": request_id})
    return [
        UsageLine(
            request_id=row.request_id,
            attempt=row.attempt,
            outcome=row.outcome,
            stage=row.stage,
            calls=row.calls,
            device_ns=row.device_ns,
            amount_nano=row.amount_nano,
            currency=row.currency,
            created_us=row.created_us,
        )
        for row in rows
    ]
