"""What requests count against their tenants' shares: predicted device time when leased, put right when it is known.

A tenant's virtual time, device time divided by its weight, stands in the store, so that it is shared by all workers and
outlives the server. Who comes next by it is the policy's matter.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Text, bindparam, case, exists, insert, literal, select, update

from laterna.queue.entry import Entry
from laterna.store.schema import requests, shares, tenants

_NOTE = update(requests).where(requests.c.id == bindparam("request")).values(charged_ns=bindparam("device_ns"))

_BEGIN = insert(shares).from_select(
    ["tenant_id", "virtual_ns"],
    select(bindparam("tenant", type_=Text), literal(0, BigInteger)).where(
        ~exists().where(shares.c.tenant_id == bindparam("tenant", type_=Text))
    ),
)

_WEIGHT = select(tenants.c.weight).where(tenants.c.id == bindparam("tenant")).scalar_subquery()

_CHARGE = (
    update(shares)
    .where(shares.c.tenant_id == bindparam("tenant"))
    .values(
        virtual_ns=case(
            (shares.c.virtual_ns < bindparam("virtual_ns"), bindparam("virtual_ns")), else_=shares.c.virtual_ns
        )
        + bindparam("device_ns") / _WEIGHT
    )
)

_CORRECT = (
    update(shares)
    .where(shares.c.tenant_id == bindparam("tenant"))
    .values(virtual_ns=shares.c.virtual_ns + bindparam("difference"))
)


def charge(connection: Connection, request_id: str, tenant: str, device_ns: int, virtual_ns: int) -> None:
    """It is leased: its tenant's virtual time is at least `virtual_ns` and goes on by its predicted device time."""
    connection.execute(_NOTE, {"request": request_id, "device_ns": device_ns})
    named = {"tenant": tenant, "device_ns": device_ns, "virtual_ns": virtual_ns}
    if not connection.execute(_CHARGE, named).rowcount:
        connection.execute(_BEGIN, {"tenant": tenant})
        connection.execute(_CHARGE, named)


def correct(connection: Connection, found: Entry, device_ns: int | None) -> None:
    """Its lease ends: it took so much device time; absent: nobody knows, and what was predicted stands."""
    if found.charged_ns is None or device_ns is None or device_ns == found.charged_ns:
        return
    difference = (device_ns - found.charged_ns) // found.weight
    connection.execute(_CORRECT, {"tenant": found.tenant, "difference": difference})
