"""Which attempts are repeated: by what ended them, each cause so often and after its own pauses, ten attempts at most.

What its sender did wrong ends a request at once; what may pass is tried again. A sender may say how often, by the
causes that fal's `X-Fal-Retry-Config` names. Decides only; `ending` carries it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from laterna.errors import GenerationTimeout, OutOfMemory, PoisonRequest
from laterna.queue.entry import Entry
from laterna.store.schema import attempts

LOST = "connection_error"  # its worker died
FAILED = "server_error"  # something of ours failed that may pass
MEMORY = "out_of_memory"  # the device was too full for one sample alone
LATE = "timeout"  # it ran past its limit
NAMED = (LOST, FAILED, LATE)  # those that a sender may set
MOST_ATTEMPTS = 10

_CODES = {PoisonRequest.code: LOST, OutOfMemory.code: MEMORY, GenerationTimeout.code: LATE}
_ENDED_BY = select(attempts.c.error_code).where(
    attempts.c.request_id == bindparam("request"),
    attempts.c.number < bindparam("attempt"),
    attempts.c.error_code.is_not(None),
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """For one cause."""

    retries: int | None  # unless the sender says otherwise; absent: as many as the setting `attempts` allows
    pauses_s: tuple[int, ...]  # before the first, the second and every further retry


RULES = {
    LOST: Rule(retries=None, pauses_s=(0,)),  # another worker is there, and goes on from the last saved step
    FAILED: Rule(retries=None, pauses_s=(1, 5, 30)),
    MEMORY: Rule(retries=1, pauses_s=(5,)),  # whoever filled the memory may be gone by then
    LATE: Rule(retries=0, pauses_s=(1,)),  # the same work takes as long
}


@dataclass(frozen=True, kw_only=True)
class Again:
    """How it is tried again."""

    pause_us: int
    alone: bool  # whether the attempt is made with nothing beside it: who dies with it then is to blame


def passes(code: str) -> bool:
    """Whether what ended with that code may go better another time, even where nobody says so."""
    return code in (OutOfMemory.code, GenerationTimeout.code)


def most_attempts(asked: Mapping[str, int] | None, attempts: int) -> int:
    """How many a request may have, `attempts` being the setting: every cause has its retries, with a common ceiling."""
    if asked is None:
        return attempts
    return min(MOST_ATTEMPTS, 1 + sum(_retries(cause, asked, attempts) for cause in NAMED))


def again(connection: Connection, found: Entry, code: str) -> Again | None:
    """Whether what ended so is tried again; None where that was the last."""
    cause = _CODES.get(code, FAILED)
    rows = connection.execute(_ENDED_BY, {"request": found.id, "attempt": found.attempts}).scalars()
    before = Counter(_CODES.get(row, FAILED) for row in rows)
    if found.attempts >= found.max_attempts or before[cause] >= _allowed(found, cause):
        return None
    lost = before[LOST] + (cause == LOST)
    alone = found.attempts + 1 >= found.max_attempts or (lost > 0 and lost >= _allowed(found, LOST))
    pauses = RULES[cause].pauses_s
    return Again(pause_us=pauses[min(before[cause], len(pauses) - 1)] * 1_000_000, alone=alone)


def _allowed(found: Entry, cause: str) -> int:
    return _retries(cause, found.retries or {}, found.max_attempts)


def _retries(cause: str, asked: Mapping[str, int], attempts: int) -> int:
    said = asked.get(FAILED if cause == MEMORY else cause, RULES[cause].retries)
    return attempts - 1 if said is None else said
