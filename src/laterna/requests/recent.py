"""How the latest requests went, of all tenants: what an operator's figures of latency and errors are made of.

Says nothing of what was asked: no input, no output, no tenant's data but its id.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from laterna.store.schema import requests
from laterna.store.states import SETTLED

MOST = 2000  # requests that are looked at, so that the look stays cheap


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One request that is over."""

    tenant: str  # id
    endpoint: str  # id
    priority: int  # 0 realtime, 1 normal, 2 low
    outcome: str  # ok, failed, cancelled or expired
    error_code: str | None  # absent where the outcome is ok
    waited_s: float | None  # from its submission to its first device call; absent where it had none
    total_s: float  # from its submission to its end
    settled_us: int


def recent(connection: Connection, since_us: int) -> list[Ended]:
    """Those of the latest MOST submissions that ended since then, the newest first."""
    latest = select(requests).order_by(requests.c.id.desc()).limit(MOST).subquery()  # ids are in order of time
    over = select(latest).where(latest.c.state == SETTLED, latest.c.settled_us >= since_us)
    return [
        Ended(
            tenant=row["tenant_id"],
            endpoint=row["endpoint"],
            priority=row["priority"],
            outcome=row["outcome"],
            error_code=row["error_code"],
            waited_s=None if row["started_us"] is None else (row["started_us"] - row["created_us"]) / 1e6,
            total_s=(row["settled_us"] - row["created_us"]) / 1e6,
            settled_us=row["settled_us"],
        )
        for row in connection.execute(over).mappings()
    ]
