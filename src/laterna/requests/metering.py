"""Usage and timeline of attempts, written once for each: by its worker's last word, which may come after its lease has
ended, or from what was observed of it, where its worker died without one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from laterna.billing.usage import Account, record
from laterna.contracts.messages import Lease, Span, Spent
from laterna.queue import events
from laterna.queue.entry import held
from laterna.store.schema import attempts, requests

LOST = "lost"  # outcome of an attempt that has none yet

# The attempt that was made under a lease, held or not, unless its usage is written already.
_UNMETERED = (
    select(attempts.c.number, attempts.c.outcome, requests.c.tenant_id, requests.c.currency)
    .join_from(attempts, requests, requests.c.id == attempts.c.request_id)
    .where(
        attempts.c.request_id == bindparam("request"),
        attempts.c.lease_token == bindparam("token"),
        attempts.c.device_ns.is_(None),
    )
    .with_for_update()
)

# Any attempt that was made under a lease and is remembered.
_MADE = select(attempts.c.number).where(
    attempts.c.request_id == bindparam("request"), attempts.c.lease_token == bindparam("token")
)

_METERED = (
    update(attempts)
    .where(attempts.c.request_id == bindparam("request"), attempts.c.number == bindparam("attempt"))
    .values(device_ns=bindparam("device"), timeline=bindparam("spans"))
)


def meter(
    connection: Connection,
    lease: Lease,
    spent: Sequence[Spent],
    timeline: Sequence[Span],
    now_us: int,
    outcome: str | None = None,
) -> bool:
    """Write down what an attempt used and did; its outcome is the one that it has, unless given.

    False where it used nothing, was metered before, or is not known any more.
    """
    named = {"request": lease.request_id, "token": lease.token}
    found = connection.execute(_UNMETERED, named).first() if spent else None
    if found is None:
        return False
    account = Account(
        tenant=found.tenant_id,
        request_id=lease.request_id,
        attempt=found.number,
        outcome=outcome or found.outcome or LOST,
        currency=found.currency,
    )
    record(connection, account, spent, now_us)
    connection.execute(
        _METERED,
        {
            "request": lease.request_id,
            "attempt": found.number,
            "device": sum(item.device_ns for item in spent),
            "spans": msgspec.json.encode(timeline) if timeline else None,
        },
    )
    return True


def meter_former(
    connection: Connection, lease: Lease, former: Lease, spent: Sequence[Spent], recovered: bool, now_us: int
) -> None:
    """Write down what was used under a former lease by a run that goes on under this one, unless it is written already.

    `recovered`: whether a crash of the server took back the former lease unmetered and forgot its attempt: then it
    counts as this one's.
    """
    found = held(connection, lease)
    known = {"request": former.request_id, "token": former.token}
    if connection.execute(_MADE, known).first() is not None:
        meter(connection, former, spent, (), now_us)
    elif recovered and found is not None and not events.known(connection, found.id, events.RECOVERED, former.token):
        # It may be told again: by a run that goes on from the same save, after another crash.
        events.append(connection, found.id, now_us, events.RECOVERED, former.token)
        account = Account(
            tenant=found.tenant, request_id=found.id, attempt=found.attempts, outcome=LOST, currency=found.currency
        )
        record(connection, account, spent, now_us)
