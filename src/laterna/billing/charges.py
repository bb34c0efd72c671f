"""A charge: what a request costs, as its usage line, in the ledger and in its tenant's purse, in the transaction that
settles it. Exactly once: the database refuses a second usage line of a price and a second charge.
"""

from __future__ import annotations

from sqlalchemy import Connection

from laterna.billing import ledger, purses, usage
from laterna.billing.quotes import Quote
from laterna.billing.usage import Account


def charge(connection: Connection, account: Account, cost: Quote, now_us: int) -> None:
    """Write it down. What is free has its usage line, and no entry in the ledger."""
    usage.price(connection, account, cost, now_us)
    if cost.amount_nano:
        ledger.charge(connection, account.tenant, account.currency, account.request_id, cost.amount_nano, now_us)
        purses.spend(connection, account.tenant, account.currency, cost.amount_nano, now_us)
