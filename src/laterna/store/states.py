"""The states of a request and the ways between them, and what of them webhooks are told.

The database refuses every other way.
"""

from __future__ import annotations

BLOCKED = "blocked"  # waits for other requests
SCHEDULED = "scheduled"  # waits for its `not_before_us`
QUEUED = "queued"  # may be leased
LEASED = "leased"  # a worker holds it and has not begun
RUNNING = "running"  # its first device call was begun
SETTLED = "settled"  # has an outcome, for ever

STATES = (BLOCKED, SCHEDULED, QUEUED, LEASED, RUNNING, SETTLED)
WAITING = (BLOCKED, SCHEDULED, QUEUED)  # nobody holds it
HELD = (LEASED, RUNNING)  # somebody does, by a lease

OK = "ok"
FAILED = "failed"
CANCELLED = "cancelled"
EXPIRED = "expired"

OUTCOMES = (OK, FAILED, CANCELLED, EXPIRED)

START, OUTPUT, LOGS, COMPLETED = "start", "output", "logs", "completed"

WEBHOOK_EVENTS = (START, OUTPUT, LOGS, COMPLETED)  # what webhooks are told of, by Replicate's names

TRANSITIONS = {
    BLOCKED: (SCHEDULED, QUEUED, SETTLED),
    SCHEDULED: (QUEUED, SETTLED),
    QUEUED: (LEASED, SETTLED),
    LEASED: (RUNNING, SCHEDULED, QUEUED, SETTLED),
    RUNNING: (SCHEDULED, QUEUED, SETTLED),
    SETTLED: (),
}
