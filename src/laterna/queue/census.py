"""How many requests stand where, for who watches the server: all tenants together, nothing of any one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal_column, select

from laterna.queue.waiting import IS_QUEUED
from laterna.store.schema import outbox, requests
from laterna.store.states import QUEUED, SCHEDULED

# By class, with the oldest, from the queue's index.
_QUEUED = (
    select(requests.c.priority, func.count(), func.min(requests.c.created_us))
    .where(IS_QUEUED)
    .group_by(requests.c.priority)
)
_SCHEDULED = (
    select(requests.c.priority, func.count())
    .where(requests.c.state == literal_column("'scheduled'"))
    .group_by(requests.c.priority)
)
_HELD = (
    select(requests.c.state, requests.c.priority, func.count())
    .where(requests.c.lease_worker.is_not(None))
    .group_by(requests.c.state, requests.c.priority)
)
_WEBHOOKS = select(func.count()).select_from(outbox).where(outbox.c.next_us.is_not(None))


@dataclass(frozen=True, kw_only=True)
class Census:
    counts: dict[tuple[str, int], int]  # (state, priority) -> requests; what is not named has none
    oldest_us: dict[int, int]  # priority -> when the first of those that may be leased was submitted
    webhooks_due: int  # deliveries to be made, now or later


def census(connection: Connection) -> Census:
    """All that is not over."""
    counts: dict[tuple[str, int], int] = {}
    oldest: dict[int, int] = {}
    for priority, count, first_us in connection.execute(_QUEUED):
        counts[QUEUED, priority], oldest[priority] = count, first_us
    for priority, count in connection.execute(_SCHEDULED):
        counts[SCHEDULED, priority] = count
    for state, priority, count in connection.execute(_HELD):
        counts[state, priority] = count
    due = int(connection.execute(_WEBHOOKS).scalar_one())
    return Census(counts=counts, oldest_us=oldest, webhooks_due=due)
