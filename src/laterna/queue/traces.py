"""A request that is over, as spans below its submission's: the parts of its timeline, and what its worker did in each.

Made once, when it settles, from what is stored of it: neither a worker's death nor the server's leaves holes, workers
need no collector, and no clock but the server's is believed.
"""

from __future__ import annotations

from sqlalchemy import Connection

from laterna import tracing
from laterna.queue.attempts import Attempt, attempts_of
from laterna.queue.entry import Entry
from laterna.queue.timeline import Part, parts


def trace(connection: Connection, found: Entry, traceparent: str, error_code: str | None, now_us: int) -> None:
    """Send them, as of a request that settles now; `error_code`: by which it does, absent where it went well.

    A transaction that is rolled back after this sends them all the same.
    """
    if not tracing.on():
        return
    made = {one.number: one for one in attempts_of(connection, found.tenant, found.id)}
    passed = parts(found.created_us, now_us, list(made.values()))
    for part in passed:
        error = error_code if part is passed[-1] else part.error_code
        below = tracing.record(
            part.stage, traceparent, part.start_us * 1000, part.end_us * 1000, error, _about(found, part, made)
        )
        _trace_spans(part, below)


def _trace_spans(part: Part, below: str) -> None:
    """Device calls in the same company are one: a change of the batch begins another."""
    for span in part.spans:
        if span.on_device and span.end_ns is not None:
            begun_ns, ended_ns = (part.origin_us * 1000 + moment_ns for moment_ns in (span.start_ns, span.end_ns))
            about = {"calls": span.calls, "least_samples": span.smallest, "most_samples": span.largest}
            tracing.record("batch", below, begun_ns, ended_ns, None, about)


def _about(found: Entry, part: Part, made: dict[int, Attempt]) -> dict[str, tracing.Value]:
    about: dict[str, tracing.Value] = {"request_id": found.id, "attempt": part.attempt}
    one = made.get(part.attempt)
    if one is not None:
        about["worker"] = one.worker
    if part.spans:
        about["calls"] = sum(span.calls for span in part.spans)
        about["calls_seconds"] = sum(span.device_ns for span in part.spans) / 1e9
    return about
