"""How an attempt ends: with an outcome for ever, or back in the queue.

These work on an `Entry` read in the same transaction; settling one twice is refused by the database.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, bindparam, delete, insert, literal_column, update

from laterna import metrics
from laterna.errors import PoisonRequest, RequestCancelled
from laterna.queue import charging, events, retries, tidings, traces
from laterna.queue.entry import Entry
from laterna.store.ids import Ids
from laterna.store.schema import attempts, outbox, requests
from laterna.store.states import CANCELLED, COMPLETED, FAILED, LOGS, OK, QUEUED, SCHEDULED, SETTLED

log = structlog.get_logger(__name__)

UNSTORED_SECONDS = 3600  # what is not to be stored can be fetched for so long after settling

_ids = Ids()

_SETTLE = (
    update(requests)
    .where(requests.c.id == bindparam("request"), requests.c.state != literal_column("'settled'"))
    .values(
        state=SETTLED,
        outcome=bindparam("ended"),
        error_code=bindparam("code"),
        error_message=bindparam("message"),
        settled_us=bindparam("now"),
        expires_us=bindparam("expires"),
        inference_us=bindparam("inference"),
        lease_token=None,
        lease_worker=None,
        lease_expires_us=None,
        charged_ns=None,
    )
)

_REQUEUE = (
    update(requests)
    .where(requests.c.id == bindparam("request"))
    .values(
        state=bindparam("waiting"),
        not_before_us=bindparam("not_before"),
        attempts=bindparam("counted"),
        alone=bindparam("by_itself"),
        started_us=None,
        lease_token=None,
        lease_worker=None,
        lease_expires_us=None,
        charged_ns=None,
    )
)

_THIS_ATTEMPT = (attempts.c.request_id == bindparam("request"), attempts.c.number == bindparam("attempt"))
_END_ATTEMPT = (
    update(attempts)
    .where(*_THIS_ATTEMPT)
    .values(ended_us=bindparam("now"), outcome=bindparam("ended"), error_code=bindparam("code"))
)
_FORGET_ATTEMPT = delete(attempts).where(*_THIS_ATTEMPT)
_NOTIFY = insert(outbox)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a request settles."""

    outcome: str  # of `laterna.store.states`
    code: str | None = None  # of `laterna.errors`; absent when all went well
    message: str | None = None  # for people; absent when all went well
    inference_us: int | None = None  # first device call to last; absent unless all went well


def settle(connection: Connection, found: Entry, ending: Ending, now_us: int) -> None:
    """Give it its outcome, with its webhook in the outbox."""
    if found.webhook_url is not None and COMPLETED in found.webhook_events:
        if LOGS in found.webhook_events:
            tidings.outdate(connection, found.id)
        connection.execute(
            _NOTIFY,
            {
                "id": _ids.new(now_us),
                "tenant_id": found.tenant,
                "request_id": found.id,
                "url": found.webhook_url,
                "host": tidings.host_of(found.webhook_url),
                "created_us": now_us,
                "next_us": now_us,
            },
        )
    _end_attempt(connection, found, ending.outcome, ending.code, now_us)
    settled = connection.execute(
        _SETTLE,
        {
            "request": found.id,
            "ended": ending.outcome,
            "code": ending.code,
            "message": ending.message,
            "now": now_us,
            "expires": expiry(found, now_us),
            "inference": ending.inference_us,
        },
    )
    assert settled.rowcount == 1, f"request {found.id} was settled before"
    events.append(connection, found.id, now_us, events.SETTLED, ending.message or ending.outcome)
    _count(found, ending, now_us)
    _log(found, ending)
    if found.traceparent is not None:
        traces.trace(connection, found, found.traceparent, ending.code, now_us)


def _count(found: Entry, ending: Ending, now_us: int) -> None:
    """A transaction that is rolled back after this counts all the same; that is rare, and its cause is in the log."""
    metrics.ENDED.labels(found.card_id, ending.outcome, ending.code or "").inc()
    if ending.outcome == OK:
        seconds = max(0, now_us - found.created_us) / 1e6
        metrics.TOOK.labels(found.card_id, metrics.CLASSES[found.priority]).observe(seconds)


def _log(found: Entry, ending: Ending) -> None:
    about = {"request_id": found.id, "tenant": found.tenant, "model": found.card_id, "attempt": found.attempts}
    if ending.outcome == OK:
        log.debug("request done", **about)
    else:
        log.info("request ended", outcome=ending.outcome, error=ending.code, message=ending.message, **about)


def give_back(connection: Connection, found: Entry, why: str, now_us: int) -> None:
    """It waits again as if this attempt had not been; unless its owner wants its end."""
    charging.correct(connection, found, 0)
    if found.cancelled:
        settle(connection, found, cancelled(), now_us)
        return
    connection.execute(_FORGET_ATTEMPT, {"request": found.id, "attempt": found.attempts})
    _requeue(connection, found, found.attempts - 1, None, found.alone)
    events.append(connection, found.id, now_us, events.RELEASED, why)


def retry(connection: Connection, found: Entry, final: Ending, why: str, now_us: int) -> bool:
    """It waits again, this attempt counted, as long as its cause wants; or ends so, where that was its last.

    Returns whether it was settled.
    """
    assert final.code is not None
    again = None if found.cancelled else retries.again(connection, found, final.code)
    if again is None:
        settle(connection, found, cancelled() if found.cancelled else final, now_us)
        return True
    lost = final.code == PoisonRequest.code
    _end_attempt(connection, found, "lost" if lost else FAILED, final.code, now_us)
    _requeue(connection, found, found.attempts, now_us + again.pause_us if again.pause_us else None, again.alone)
    events.append(connection, found.id, now_us, events.RETRIED, why)
    return False


def cancelled() -> Ending:
    return Ending(outcome=CANCELLED, code=RequestCancelled.code, message="the request was cancelled by its owner")


def poisoned(found: Entry) -> Ending:
    message = f"{found.attempts} workers died while they worked on the request; change its size or its steps"
    return Ending(outcome=FAILED, code=PoisonRequest.code, message=message)


def expiry(found: Entry, now_us: int) -> int | None:
    """When the payload and the outputs of a request that settles now are to go; None for never."""
    spans = [found.keep_seconds] if found.store_io else [found.keep_seconds, UNSTORED_SECONDS]
    known = [span for span in spans if span is not None]
    return now_us + min(known) * 1_000_000 if known else None


def _end_attempt(connection: Connection, found: Entry, outcome: str, code: str | None, now_us: int) -> None:
    if found.lease is not None:
        ended = {"request": found.id, "attempt": found.attempts, "now": now_us, "ended": outcome, "code": code}
        connection.execute(_END_ATTEMPT, ended)


def _requeue(connection: Connection, found: Entry, counted: int, not_before_us: int | None, alone: bool) -> None:
    connection.execute(
        _REQUEUE,
        {
            "request": found.id,
            "waiting": QUEUED if not_before_us is None else SCHEDULED,
            "not_before": not_before_us,
            "counted": counted,
            "by_itself": alone,
        },
    )
