"""Where a request's time went: from its submission on one part follows another, without gaps, so that they add up.

A part lasts until the last of its calls has ended, with whatever the request waited for meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from laterna.contracts.messages import Span
from laterna.queue.attempts import Attempt

QUEUE = "queue"  # until its worker began with it
RUN = "run"  # all of an attempt whose worker has not told what it did
SETTLE = "settle"  # from its worker's last act until its attempt had ended


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of one request's time."""

    stage: str  # one of `Span`, or of the three above
    attempt: int  # of which it is, or for which it waited; from 1
    start_us: int  # UTC microseconds
    end_us: int  # UTC microseconds; the next part starts then
    spans: tuple[Span, ...]  # what its worker did in it; empty: it is no stage of `Span`
    origin_us: int  # from which its spans count, UTC microseconds; 0 where there are none
    error_code: str | None  # of `laterna.errors`, by which its attempt ended with this part; absent for others


@dataclass(frozen=True, kw_only=True)
class _End:
    """Of a part, by the clock of whoever saw it."""

    stage: str
    attempt: int
    end_us: int
    spans: tuple[Span, ...] = ()
    origin_us: int = 0
    error_code: str | None = None


def parts(created_us: int, until_us: int, attempts: Sequence[Attempt]) -> list[Part]:
    """Those between its submission and then, in order. None is negative, even where a clock was set back."""
    found, at_us = list[Part](), created_us
    for end in _ends(until_us, attempts):
        start_us, at_us = at_us, max(at_us, min(end.end_us, until_us))
        found.append(
            Part(
                stage=end.stage,
                attempt=end.attempt,
                start_us=start_us,
                end_us=at_us,
                spans=end.spans,
                origin_us=end.origin_us,
                error_code=end.error_code,
            )
        )
    return found


def _ends(until_us: int, attempts: Sequence[Attempt]) -> Iterator[_End]:
    for one in attempts:
        yield from _told(one, until_us) if one.timeline else _untold(one, until_us)
    last = attempts[-1] if attempts else None
    if last is None or (last.ended_us is not None and last.ended_us < until_us):
        yield _End(stage=QUEUE, attempt=1 if last is None else last.number + 1, end_us=until_us)


def _told(one: Attempt, until_us: int) -> Iterator[_End]:
    """An attempt of which it is known what was done when; some of it, perhaps, after it had been given up."""
    ended_us = until_us if one.ended_us is None else one.ended_us
    origin_us = _origin_us(one)
    yield _End(stage=QUEUE, attempt=one.number, end_us=min(ended_us, origin_us + one.timeline[0].start_ns // 1000))
    for stage in dict.fromkeys(span.stage for span in one.timeline):
        spans = tuple(span for span in one.timeline if span.stage == stage)
        end_us = min(ended_us, origin_us + max(_end_ns(span) for span in spans) // 1000)
        yield _End(stage=stage, attempt=one.number, end_us=end_us, spans=spans, origin_us=origin_us)
    yield _End(stage=SETTLE, attempt=one.number, end_us=ended_us, error_code=one.error_code)


def _untold(one: Attempt, until_us: int) -> Iterator[_End]:
    began_us = one.leased_us if one.started_us is None else one.started_us
    yield _End(stage=QUEUE, attempt=one.number, end_us=began_us)
    end_us = until_us if one.ended_us is None else one.ended_us
    yield _End(stage=RUN, attempt=one.number, end_us=end_us, error_code=one.error_code)


def _origin_us(one: Attempt) -> int:
    """When its worker took it, by the server's clock: which heard, late by what the news was under way, of its first
    device call's beginning and of its end.
    """
    first = next((span for span in one.timeline if span.on_device), one.timeline[0])
    began_us = one.leased_us if one.started_us is None else one.started_us
    origin_us = began_us - first.start_ns // 1000
    if one.ended_us is None:
        return origin_us
    last_us = max(_end_ns(span) for span in one.timeline) // 1000
    return min(origin_us, max(one.leased_us, one.ended_us - last_us))


def _end_ns(span: Span) -> int:
    return span.start_ns + span.device_ns if span.end_ns is None else span.end_ns
