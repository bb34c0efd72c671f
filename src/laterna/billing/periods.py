"""Spans of time that reports are divided into: minutes to months, by the calendar of a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

TIMEFRAMES = ("minute", "hour", "day", "week", "month")
_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, kw_only=True)
class Span:
    """From one moment to another."""

    start: datetime  # in the report's time zone
    since_us: int
    until_us: int  # not of the span itself


@dataclass(frozen=True, kw_only=True)
class Period:
    """What a report is of. Moments are aware of their zone."""

    since: datetime
    until: datetime  # not of it itself
    timeframe: str  # one of TIMEFRAMES
    zone: tzinfo = UTC
    whole: bool = True  # whether it grows to whole minutes, days, ...

    def spans(self, most: int) -> list[Span] | None:
        """Its minutes, hours, ... in order; None where there are more than `most`."""
        found: list[Span] = []
        start = floor(self.since, self.timeframe, self.zone)
        while start < self.until:
            if len(found) == most:
                return None
            end = after(start, self.timeframe, self.zone)
            since, until = (start, end) if self.whole else (max(start, self.since), min(end, self.until))
            found.append(Span(start=start, since_us=microseconds(since), until_us=microseconds(until)))
            start = end
        return found


def fitting(since: datetime, until: datetime) -> str:
    """The timeframe that shows such a time in a few dozen spans."""
    days = (until - since) / timedelta(days=1)
    for most, timeframe in ((0.1, "minute"), (3, "hour"), (93, "day"), (400, "week")):
        if days <= most:
            return timeframe
    return "month"


def floor(moment: datetime, timeframe: str, zone: tzinfo) -> datetime:
    """When the minute, hour, ... of that moment began in that zone. Weeks begin on Monday."""
    local = moment.astimezone(zone)
    if timeframe in _STEPS:
        shown = local.replace(second=0, microsecond=0)
        return shown if timeframe == "minute" else shown.replace(minute=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if timeframe == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if timeframe == "month" else day


def after(start: datetime, timeframe: str, zone: tzinfo) -> datetime:
    """When the next one begins."""
    if timeframe in _STEPS:
        return (start.astimezone(UTC) + _STEPS[timeframe]).astimezone(zone)
    if timeframe == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if timeframe == "week" else 1)


def microseconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
