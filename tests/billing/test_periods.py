"""Spans of a period: they touch, they cover it, and they begin where the calendar says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.billing.periods import TIMEFRAMES, Period, fitting, microseconds

BERLIN = ZoneInfo("Europe/Berlin")
moments = st.datetimes(datetime(1980, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]).map(ZoneInfo)


@given(moments, st.integers(1, 10**9), st.sampled_from(TIMEFRAMES), zones, st.booleans())
def test_spans_touch_and_cover(since: datetime, seconds: int, timeframe: str, zone: ZoneInfo, whole: bool) -> None:
    until = since + timedelta(seconds=seconds)
    spans = Period(since=since, until=until, timeframe=timeframe, zone=zone, whole=whole).spans(300)
    if spans is None:
        return
    assert all(one.until_us == next_.since_us for one, next_ in pairwise(spans))
    assert all(one.since_us < one.until_us for one in spans)
    first, last = spans[0].since_us, spans[-1].until_us
    if whole:
        assert first <= microseconds(since) < microseconds(until) <= last
    else:
        assert (first, last) == (microseconds(since), microseconds(until))


def test_a_day_of_the_clock_change_has_23_hours() -> None:
    day = datetime(2026, 3, 29, 12, tzinfo=BERLIN)
    [span] = Period(since=day, until=day + timedelta(hours=1), timeframe="day", zone=BERLIN).spans(9) or []
    assert (span.until_us - span.since_us) / 3.6e9 == 23
    assert span.start.isoformat() == "2026-03-29T00:00:00+01:00"


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    day = datetime(2026, 5, 7, 12, tzinfo=UTC)
    for timeframe, first in (("week", "2026-05-04"), ("month", "2026-05-01"), ("day", "2026-05-07")):
        [span] = Period(since=day, until=day + timedelta(hours=1), timeframe=timeframe).spans(9) or []
        assert f"{span.start:%Y-%m-%d}" == first


FITTING = [(0.05, "minute"), (1, "hour"), (30, "day"), (300, "week"), (900, "month")]


@pytest.mark.parametrize(("days", "timeframe"), FITTING)
def test_a_fitting_timeframe_is_chosen(days: float, timeframe: str) -> None:
    now = datetime(2026, 5, 7, tzinfo=UTC)
    assert fitting(now - timedelta(days=days), now) == timeframe
