"""The face of the money: what the HTTP surfaces ask for, each call one transaction. Knows tenants' ids, not keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from laterna.billing import invoices, ledger, purses, reports
from laterna.billing.invoices import Invoice
from laterna.billing.ledger import Posting
from laterna.billing.periods import Span
from laterna.billing.purses import Limits, Purse
from laterna.billing.reports import Charge, Used, Which
from laterna.clock import Clock
from laterna.errors import Conflict, NotFound
from laterna.store.ids import Ids
from laterna.store.schema import tenants
from laterna.store.store import Store


class Books:
    """Made once."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids = Ids()

    async def purses(self, tenant: str) -> list[Purse]:
        """What it has, holds, spent and may spend, by currency; none before its first charge, credit or limit."""
        now = self._clock.now_us()
        return await self._store.read(lambda c: purses.purses_of(c, tenant, now))

    async def tenants(self) -> tuple[str, ...]:
        """All ids: for the operator's reports."""
        return await self._store.read(lambda c: tuple(c.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars()))

    async def used(self, which: Which, spans: list[Span]) -> list[tuple[Span, list[Used]]]:
        """Of each span what was used in it, by tenant, key, endpoint and price."""
        return await self._store.read(
            lambda c: [(span, reports.used(c, which, span.since_us, span.until_us)) for span in spans]
        )

    async def charges(
        self, which: Which, span: Span, after: tuple[int, int] | None, most: int, *, newest_first: bool
    ) -> list[Charge]:
        """Up to `most` charges after (`created_us`, `line`) of the last one that was told."""
        return await self._store.read(
            lambda c: reports.charges(
                c, which, span.since_us, span.until_us, newest_first=newest_first, after=after, most=most
            )
        )

    async def average_nano(self, which: Which) -> dict[str, tuple[int, str]]:
        """Endpoint -> what a request cost on average, and the currency."""
        return await self._store.read(lambda c: reports.average_nano(c, which))

    async def invoices(self, tenant: str, month: datetime) -> list[Invoice]:
        """One a currency, of the month that begins then (UTC). Raises NotFound for no tenant."""
        now = self._clock.now_us()

        def read(connection: Connection) -> list[Invoice]:
            _known(connection, tenant)
            return invoices.invoices(connection, tenant, month, now)

        return await self._store.read(read)

    async def limit(self, tenant: str, currency: str, limits: Limits) -> None:
        """Say what it may spend from now on. Raises NotFound for no tenant."""

        def write(connection: Connection) -> None:
            _known(connection, tenant)
            purses.limit(connection, tenant, currency, limits)

        await self._store.write(write)

    async def pay(
        self, tenant: str, currency: str, amount_nano: int, note: str = "", reference: str | None = None
    ) -> Posting:
        """Add to its credit what was received, or take back where the amount is below 0; once for each reference.

        Raises NotFound for no tenant, Conflict for a reference of another payment.
        """
        now = self._clock.now_us()
        transaction = f"payment/{tenant}/{reference or self._ids.new(now)}"

        def write(connection: Connection) -> Posting:
            _known(connection, tenant)
            if not ledger.find(connection, transaction):
                ledger.pay(connection, tenant, currency, transaction, amount_nano, note, now)
                purses.pay(connection, tenant, currency, amount_nano)
            [entry] = ledger.find(connection, transaction)
            if (entry.currency, entry.amount_nano, entry.kind == ledger.TOP_UP) != (
                currency,
                abs(amount_nano),
                amount_nano > 0,
            ):
                raise Conflict(f"the reference {reference!r} was used for another payment; use a new one")
            return entry

        return await self._store.write(write)


def _known(connection: Connection, tenant: str) -> None:
    if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant)).first() is None:
        raise NotFound(f"no tenant {tenant[:80]!r}")
