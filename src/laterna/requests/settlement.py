"""Settle: outcome, outputs, files, usage lines and webhook in one transaction, once; for a stale lease
nothing but what was used in vain.
"""

from __future__ import annotations

import mimetypes
from typing import Any

from sqlalchemy import Connection, insert

from laterna.billing.charges import charge
from laterna.billing.quotes import Quote
from laterna.billing.usage import Account
from laterna.contracts.messages import Artifact, Failed, Finished
from laterna.errors import RequestCancelled, StartTimeout
from laterna.queue import charging, retries, tidings
from laterna.queue.ending import Ending, expiry, retry, settle
from laterna.queue.entry import Entry, held
from laterna.requests.expiry import abandon
from laterna.requests.metering import meter
from laterna.store.schema import files, outputs
from laterna.store.states import CANCELLED, EXPIRED, FAILED, OK, OUTPUT
from laterna.tenants import limits

INLINE_SECONDS = 3600  # inline outputs stay in the database so long: an answer that got lost can be asked for again

_OUTCOMES = {RequestCancelled.code: CANCELLED, StartTimeout.code: EXPIRED}
_INSERT_FILES = insert(files)
_INSERT_OUTPUTS = insert(outputs)


def finish(connection: Connection, said: Finished, now_us: int) -> bool:
    """It went well, even where its owner asked for its end too late.

    False for a stale lease: its usage is written, and the files that it made are to go.
    """
    found = held(connection, said.lease)
    if found is None:
        meter(connection, said.lease, said.spent, said.timeline, now_us)
        abandon(connection, said.lease.request_id, said.artifacts, now_us)
        return False
    if said.artifacts:
        kept = [_file(found, artifact, now_us) for artifact in said.artifacts]
        connection.execute(_INSERT_FILES, kept)
        limits.keep(connection, found.tenant, sum(row["size_bytes"] for row in kept))
        connection.execute(
            _INSERT_OUTPUTS,
            [
                {
                    "request_id": found.id,
                    "index": artifact.index,
                    "seed": artifact.seed,
                    "file_key": row["key"],
                    "flagged": artifact.flagged,
                }
                for artifact, row in zip(said.artifacts, kept, strict=True)
            ],
        )
    meter(connection, said.lease, said.spent, said.timeline, now_us, OK)
    charge(connection, _account(found, OK), _quote(found), now_us)
    charging.correct(connection, found, _device_ns(said))
    if found.webhook_url is not None and OUTPUT in found.webhook_events:
        tidings.tell(connection, found.id, found.webhook_url, OUTPUT, now_us)
    settle(connection, found, Ending(outcome=OK, inference_us=round(said.inference_s * 1e6)), now_us)
    return True


def fail(connection: Connection, said: Failed, now_us: int) -> bool:
    """It did not: it waits for its next attempt where that may help and it has one, else it is settled.

    False for a stale lease: its usage is written all the same.
    """
    found = held(connection, said.lease)
    outcome = _OUTCOMES.get(said.code, FAILED)
    meter(connection, said.lease, said.spent, said.timeline, now_us, None if found is None else outcome)
    if found is None:
        return False
    charging.correct(connection, found, _device_ns(said))
    ending = Ending(outcome=outcome, code=said.code, message=said.message)
    if said.retry or retries.passes(said.code):
        retry(connection, found, ending, said.message, now_us)
        return True
    if outcome == CANCELLED and found.cancelled:  # its owner's wish: what was done for it is paid for, not more
        used = _quote(found).part(said.done, said.steps)
        if used.amount_nano:
            charge(connection, _account(found, CANCELLED), used, now_us)
    settle(connection, found, ending, now_us)
    return True


def _device_ns(said: Finished | Failed) -> int:
    return sum(spent.device_ns for spent in said.spent)


def _account(found: Entry, outcome: str) -> Account:
    return Account(
        tenant=found.tenant, request_id=found.id, attempt=found.attempts, outcome=outcome, currency=found.currency
    )


def _quote(found: Entry) -> Quote:
    return Quote(amount_nano=found.price_nano, quantity_micro=found.quantity_micro)


def _file(found: Entry, made: Artifact, now_us: int) -> dict[str, Any]:
    inline = made.data is not None
    name = f"{made.index}{mimetypes.guess_extension(made.content_type) or ''}"
    return {
        "key": f"inline/{found.id}/{made.index}" if inline else made.key,
        "tenant_id": found.tenant,
        "request_id": found.id,
        "file_name": name,
        "content_type": made.content_type,
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "width": made.width,
        "height": made.height,
        "duration_us": None if made.duration_s is None else round(made.duration_s * 1e6),
        "access": "inline" if inline else "link",
        "acl": found.access,
        "data": made.data,
        "created_us": now_us,
        "expires_us": now_us + INLINE_SECONDS * 1_000_000 if inline else expiry(found, now_us),
    }
