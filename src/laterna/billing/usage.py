"""Usage lines: the device time that each attempt took, by stage, and the charge. Written once, in the transaction that
ends the attempt; every charge traces to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select

from laterna.contracts.messages import Spent
from laterna.store.schema import usage_lines
from laterna.store.states import OK

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
    stage: str  # load, encode, denoise, decode, or PRICE
    calls: int  # on the device
    device_ns: int
    amount_nano: int  # billionths of the currency; 0 except on a line of PRICE
    currency: str
    created_us: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whose usage is written down, and at which price."""

    tenant: str  # id
    request_id: str
    attempt: int
    price_nano: int  # charged where all went well
    currency: str


def record(connection: Connection, account: Account, outcome: str, spent: Iterable[Spent], now_us: int) -> None:
    """Write down what an attempt used; the charge too where its outcome is ok, and nothing is charged otherwise."""
    lines = [(item.stage, item.calls, item.device_ns, 0) for item in spent]
    if outcome == OK:
        lines.append((PRICE, 0, 0, account.price_nano))
    rows = [
        {
            "tenant_id": account.tenant,
            "request_id": account.request_id,
            "attempt": account.attempt,
            "outcome": outcome,
            "stage": stage,
            "calls": calls,
            "device_ns": device_ns,
            "amount_nano": amount_nano,
            "currency": account.currency,
            "created_us": now_us,
        }
        for stage, calls, device_ns, amount_nano in lines
    ]
    if rows:
        connection.execute(_INSERT, rows)


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
