"""What the platform API's parts share: whose account a caller may see, periods, amounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request

from laterna.api.callers import caller_of
from laterna.api.services import Services
from laterna.billing.periods import TIMEFRAMES, Period, Span, fitting
from laterna.errors import InvalidInput, Problem
from laterna.tenants.caller import ADMIN, Caller
from laterna.tenants.tenants import EVERYBODY

MOST_SPANS = 1500  # in a report: a day of minutes


async def admin_of(request: Request, services: Services) -> Caller:
    """The caller, whose key may administer its tenant. Raises Unauthorized, Forbidden."""
    return await caller_of(request, services, scope=ADMIN)


async def operator_of(request: Request, services: Services) -> Caller:
    """The caller, whose key may look after all tenants. Raises Unauthorized, Forbidden."""
    caller = await admin_of(request, services)
    caller.need_operator()
    return caller


async def tenant_asked(request: Request, services: Services, caller: Caller) -> str:
    """Whose account it is about: the caller's own, or, for the operator, the one of `tenant_id`, an id or a name.

    Raises NotFound where the operator names none; to anybody else every other tenant is Forbidden, there or not.
    """
    wanted = request.query_params.get("tenant_id") or caller.tenant
    if wanted == caller.tenant:
        return wanted
    caller.need_operator()
    return (await services.tenants.find(wanted)).id


async def tenants_asked(request: Request, services: Services, caller: Caller) -> tuple[str, ...]:
    """As above; all of them for `tenant_id=all`."""
    if request.query_params.get("tenant_id") == EVERYBODY:
        caller.need_operator()
        return await services.books.tenants()
    return (await tenant_asked(request, services, caller),)


def period_asked(request: Request, now_us: int) -> Period:
    """`start`, `end` (ISO 8601; the last day if left out), `timezone`, `timeframe`, `bound_to_timeframe`."""
    query = request.query_params
    zone = _zone(query.get("timezone") or "UTC")
    until = _moment("end", query.get("end"), zone) or datetime.fromtimestamp(now_us / 1e6, UTC)
    since = _moment("start", query.get("start"), zone) or until - timedelta(days=1)
    if since >= until:
        raise wrong("start", "expected a moment before end", query.get("start", ""))
    timeframe = query.get("timeframe") or fitting(since, until)
    if timeframe not in TIMEFRAMES:
        raise wrong("timeframe", f"expected one of {', '.join(TIMEFRAMES)}", timeframe)
    whole = query.get("bound_to_timeframe", "true").lower() != "false"
    return Period(since=since, until=until, timeframe=timeframe, zone=zone, whole=whole)


def spans_asked(period: Period) -> list[Span]:
    """Raises InvalidInput where they are too many."""
    spans = period.spans(MOST_SPANS)
    if spans is None:
        raise wrong("timeframe", f"more than {MOST_SPANS} of them lie between start and end", period.timeframe)
    return spans


def nano(where: str, value: object) -> int:
    """An amount of money, as a number or, exactly, as text: 12.5, "0.000000001"."""
    try:
        amount = Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or abs(amount) >= 10**9 or (amount * 10**9) % 1:
        raise body_wrong(where, "expected an amount such as 12.5, in whole billionths and below a billion", value)
    return int(amount * 10**9)


def wrong(name: str, why: str, value: str) -> InvalidInput:
    return InvalidInput(Problem(loc=("query", name), msg=why, input=value[:80]))


def body_wrong(name: str, why: str, value: Any) -> InvalidInput:
    return InvalidInput(Problem(loc=("body", name), msg=why, input=repr(value)[:80]))


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise wrong("timezone", "expected a name such as Europe/Berlin", name) from error


def _moment(name: str, text: str | None, zone: tzinfo) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        if not 1970 < moment.year < 3000:
            raise ValueError("the year is out of range")
    except ValueError as error:
        raise wrong(name, "expected ISO 8601, such as 2026-05-01 or 2026-05-01T12:00:00Z", text) from error
    return moment
