"""A tenant's invoice for one month and currency: what it used, at which prices, and how its credit moved.

The same numbers as JSON and CSV here, on paper in `laterna.billing.paper`. An invoice of a month that is not over is a
draft. The sum of its lines is what the ledger charged: both come of the same usage lines, and a test compares them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from laterna.billing import ledger
from laterna.billing.periods import after, microseconds
from laterna.billing.reports import Used, Which, together, used
from laterna.store.schema import entries, tenants

HEADINGS = ("endpoint", "unit", "unit_price", "quantity", "requests", "amount", "currency")


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """All amounts in billionths of its currency."""

    number: str
    tenant: str  # id
    tenant_name: str
    month: str  # YYYY-MM, UTC
    currency: str
    draft: bool  # whether the month is not over
    lines: tuple[Used, ...]  # by endpoint and price
    opening_nano: int  # credit before the month; below 0: owed
    moved: Mapping[str, int]  # kind of ledger entry -> what the credit grew by, below 0 for what it shrank by
    issued_us: int

    @property
    def total_nano(self) -> int:
        return sum(line.amount_nano for line in self.lines)

    @property
    def closing_nano(self) -> int:
        return self.opening_nano + sum(self.moved.values())


def invoices(connection: Connection, tenant: str, month: datetime, now_us: int) -> list[Invoice]:
    """One for each currency in which anything was charged or paid until the month's end.

    Args:
        month: its first moment, UTC.
    """
    since, until = microseconds(month), microseconds(after(month, "month", UTC))
    found = together(used(connection, Which(tenants=(tenant,)), since, until), ("key_id", "key_name"))
    name = connection.execute(select(tenants.c.name).where(tenants.c.id == tenant)).scalar_one()
    shown = f"{month:%Y-%m}"
    currencies = {line.currency for line in found if line.charges} | _currencies(connection, tenant, until)
    return [
        Invoice(
            number=f"{shown}-{tenant}-{currency}",
            tenant=tenant,
            tenant_name=name,
            month=shown,
            currency=currency,
            draft=now_us < until,
            lines=tuple(line for line in found if line.currency == currency and line.charges),
            opening_nano=sum(ledger.moved(connection, tenant, currency, 0, since).values()),
            moved=ledger.moved(connection, tenant, currency, since, until),
            issued_us=now_us,
        )
        for currency in sorted(currencies)
    ]


def as_json(invoice: Invoice) -> dict[str, Any]:
    """Amounts as exact decimals in text."""
    return {
        "number": invoice.number,
        "tenant": {"id": invoice.tenant, "name": invoice.tenant_name},
        "month": invoice.month,
        "currency": invoice.currency,
        "draft": invoice.draft,
        "issued_at": datetime.fromtimestamp(invoice.issued_us / 1e6, UTC).isoformat(),
        "lines": [dict(zip(HEADINGS, _row(line), strict=True)) for line in invoice.lines],
        "total": decimal(invoice.total_nano),
        "credit": {
            "opening": decimal(invoice.opening_nano),
            **{kind: decimal(amount) for kind, amount in invoice.moved.items()},
            "closing": decimal(invoice.closing_nano),
        },
    }


def as_csv(made: list[Invoice]) -> str:
    """The lines, RFC 4180, with a heading; amounts are exact."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("invoice", *HEADINGS))
    writer.writerows(map(_plain, (invoice.number, *_row(line))) for invoice in made for line in invoice.lines)
    return text.getvalue()


def decimal(nano: int, places: int = 9) -> str:
    """Billionths (or, of 6 places, millionths) as an exact decimal without needless zeros: 0.0025, 3, -1.5."""
    sign, size = "-" if nano < 0 else "", 10**places
    whole, rest = divmod(abs(nano), size)
    return f"{sign}{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")


def _row(line: Used) -> tuple[str | int, ...]:
    return (
        line.endpoint,
        line.unit or "request",
        decimal(line.unit_nano),
        decimal(line.quantity_micro, 6),
        line.charges,
        decimal(line.amount_nano),
        line.currency,
    )


def _plain(value: str | int) -> str | int:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _currencies(connection: Connection, tenant: str, until_us: int) -> set[str]:
    found = select(entries.c.currency).distinct().where(entries.c.tenant_id == tenant)
    return set(connection.execute(found.where(entries.c.created_us < until_us)).scalars())
