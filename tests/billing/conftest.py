"""Tenants with money, over the real queue."""

from __future__ import annotations

from sqlalchemy import insert, text

from laterna.billing.books import Books
from laterna.store.schema import tenants
from tests.requests.conftest import World

LEDGER = "SELECT COALESCE(SUM(CASE WHEN credit = a.id THEN e.amount_nano ELSE -e.amount_nano END), 0)"


async def tenant(w: World, name: str) -> Books:
    """The books, with a tenant of that name in them."""
    await w.store.write(lambda c: c.execute(insert(tenants), {"id": name, "name": name, "created_us": 1}) and None)
    return Books(w.store, w.clock)


async def faults(w: World) -> list[str]:
    """What does not add up: nothing."""
    return await w.store.read(
        lambda c: [f"{why}: {tuple(row)}" for why, q in ADDS_UP.items() for row in c.execute(text(q))]
    )


ADDS_UP = {
    "a purse is not what the ledger says": f"""
        SELECT p.tenant_id, p.balance_nano FROM purses p WHERE p.balance_nano <> (
          {LEDGER} FROM entries e JOIN accounts a ON a.id IN (e.debit, e.credit)
          WHERE a.tenant_id = p.tenant_id AND a.currency = p.currency)""",
    "a tenant has entries and no purse": """
        SELECT e.tenant_id, e.currency FROM entries e LEFT JOIN purses p USING (tenant_id, currency)
        WHERE p.tenant_id IS NULL""",
    "all accounts together are not zero": f"""
        SELECT currency, total FROM (
          SELECT a.currency, SUM((SELECT {LEDGER.removeprefix("SELECT ")} FROM entries e
            WHERE a.id IN (e.debit, e.credit))) AS total FROM accounts a GROUP BY a.currency) s WHERE total <> 0""",
    "charges and priced usage lines differ": """
        SELECT u.request_id, u.amount_nano, e.amount_nano FROM usage_lines u
        LEFT JOIN entries e ON e.kind = 'charge' AND e.request_id = u.request_id AND e.tenant_id = u.tenant_id
        WHERE u.stage = 'price' AND u.amount_nano <> COALESCE(e.amount_nano, 0)""",
    "a charge has no usage line": """
        SELECT e.request_id FROM entries e WHERE e.kind = 'charge' AND NOT EXISTS (
          SELECT 1 FROM usage_lines u WHERE u.request_id = e.request_id AND u.stage = 'price')""",
    "charged twice": """
        SELECT request_id, COUNT(*) FROM usage_lines WHERE stage = 'price' GROUP BY 1 HAVING COUNT(*) > 1""",
    "a request that went well was not charged its quote, or another was": """
        SELECT r.id, r.outcome, r.price_nano, u.amount_nano FROM requests r
        LEFT JOIN usage_lines u ON u.request_id = r.id AND u.stage = 'price'
        WHERE CASE r.outcome WHEN 'ok' THEN COALESCE(u.amount_nano, -1) <> r.price_nano
              WHEN 'cancelled' THEN COALESCE(u.amount_nano, 0) NOT BETWEEN 0 AND r.price_nano
              ELSE u.amount_nano IS NOT NULL END""",
    "device time that attempts used is not what usage lines say": """
        SELECT a.request_id, a.number, a.device_ns FROM attempts a WHERE a.device_ns > (
          SELECT COALESCE(SUM(u.device_ns), 0) FROM usage_lines u WHERE u.request_id = a.request_id)""",
    "more than the month's limit was spent": """
        SELECT tenant_id, spent_nano, monthly_nano FROM purses WHERE spent_nano > monthly_nano""",
    "more than the month's limit is spent and held": """
        SELECT p.tenant_id, p.spent_nano, p.monthly_nano FROM purses p WHERE p.spent_nano + (
          SELECT COALESCE(SUM(r.price_nano), 0) FROM requests r
          WHERE r.tenant_id = p.tenant_id AND r.currency = p.currency AND r.state <> 'settled') > p.monthly_nano""",
    "more is held than there is credit": """
        SELECT p.tenant_id, p.balance_nano FROM purses p WHERE p.prepaid AND p.balance_nano < (
          SELECT COALESCE(SUM(r.price_nano), 0) FROM requests r
          WHERE r.tenant_id = p.tenant_id AND r.currency = p.currency AND r.state <> 'settled')""",
}
