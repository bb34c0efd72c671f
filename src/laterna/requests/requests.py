"""The one face of the durable queue: what the HTTP surfaces and dispatch call, each call one transaction.

Takes tenants' ids and never crosses them; takes leases and ignores stale ones. Knows no HTTP, no worker, no model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from laterna.billing.usage import UsageLine, usage_of
from laterna.clock import Clock
from laterna.config import Settings
from laterna.contracts.messages import Failed, Finished, Lease, Spent
from laterna.errors import AlreadyCompleted
from laterna.queue import events, lanes, leasing, tidings, upkeep
from laterna.queue.attempts import Attempt, attempts_of
from laterna.queue.census import Census, census
from laterna.queue.ending import give_back
from laterna.queue.entry import held
from laterna.queue.events import LogLine
from laterna.queue.lanes import Total, Waiting
from laterna.queue.leasing import Chosen, Leased
from laterna.queue.timeline import Part, parts
from laterna.requests import analytics, expiry, history, listing, metering, outbox, settlement, standing, views
from laterna.requests.admission import admit, check_deadlines, rows_of
from laterna.requests.analytics import Measured
from laterna.requests.history import Past, PastPage, Which
from laterna.requests.listing import ALL, Filter, Page
from laterna.requests.outbox import Answer, Delivery, Try, Webhook
from laterna.requests.pictures import PictureFilter, PicturePage, pictures_of
from laterna.requests.places import Places
from laterna.requests.recent import Ended, recent
from laterna.requests.standing import Standing
from laterna.requests.submission import Receipt, Submission
from laterna.requests.told import Told, told_of
from laterna.requests.views import Output, RequestView, Trouble
from laterna.store.ids import Ids, well_formed
from laterna.store.states import SETTLED
from laterna.store.store import Store

__all__ = [
    "Answer",
    "Attempt",
    "CancelResult",
    "Census",
    "Chosen",
    "Delivery",
    "Filter",
    "Leased",
    "LogLine",
    "Output",
    "Page",
    "Part",
    "Past",
    "PastPage",
    "Receipt",
    "RequestView",
    "Requests",
    "Standing",
    "Submission",
    "Told",
    "Total",
    "Trouble",
    "Try",
    "UsageLine",
    "Waiting",
    "Webhook",
    "Which",
    "neutral_body",
]

DAY = 86_400  # seconds


@dataclass(frozen=True, kw_only=True)
class CancelResult:
    """What became of the wish."""

    settled: bool  # whether it is over at once; else its worker must be told
    lease: Lease | None  # which worker's; absent when settled


def neutral_body(about: Told) -> bytes:
    """A webhook's body for whoever has no shape of their own: id and outcome, no result."""
    view = about.view
    told: dict[str, object] = {"request_id": view.request_id, "outcome": view.outcome}
    if view.trouble is not None:
        told["error"] = view.trouble.message
    return msgspec.json.encode(told)


def anything(asked: Submission) -> None:
    """Nothing is refused."""


class Requests:
    """Made once; `recover` is called before anything is leased, which only the server that dispatches may do."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: Settings,
        webhook_body: Callable[[Told], bytes] = neutral_body,
        check: Callable[[Submission], None] = anything,
    ) -> None:
        """`check` raises Refused for what could not be in time, and lets the rest pass."""
        self._store = store
        self._clock = clock
        self._webhook_body = webhook_body
        self._check = check
        self._ids = Ids()
        self._places = Places(clock)
        self._queue_length = settings.queue_length
        self._attempts = settings.attempts
        self._lease_us = round(settings.lease_seconds * 1e6)
        self._keep_seconds = round(settings.keep_days * DAY) or None
        self._recovered: set[str] = set()  # ids of requests whose last attempt nobody metered

    # What owners ask for.

    async def submit(self, asked: Submission) -> Receipt:
        """Put it into the queue; it is durable when this returns.

        Raises QueueFull, RateLimited, TooManyConcurrent, StorageFull, OutOfBudget, DeadlineUnreachable, Conflict for an
        idempotency key of another request, InvalidInput for text that is none, Unavailable.
        """
        now = self._clock.now_us()
        check_deadlines(asked, now)
        self._check(asked)
        row, payload = rows_of(asked, self._ids.new(now), now, self._attempts, self._keep_seconds)
        return await self._store.write(lambda c: admit(c, self._places, asked, row, payload, self._queue_length))

    async def get(self, tenant: str, request_id: str) -> RequestView:
        """The request as it is now. Raises RequestNotFound, for other tenants' ids and malformed ones too."""
        return await self._store.read(lambda c: views.view_of(c, self._places, tenant, request_id))

    async def raw_input(self, tenant: str, request_id: str) -> Any:
        """The JSON value that was sent; None once it is deleted, or where there is no such request."""
        return await self._store.read(lambda c: views.raw_input(c, tenant, request_id))

    async def logs(self, tenant: str, request_id: str, after_seq: int = 0) -> list[LogLine]:
        """Log lines after that one, oldest first; none where there is no such request."""
        if not well_formed(request_id):
            return []
        return await self._store.read(lambda c: events.logs(c, tenant, request_id, after_seq))

    async def usage(self, tenant: str, request_id: str) -> list[UsageLine]:
        """Device time and charge, by attempt and stage; none where there is no such request."""
        return await self._store.read(lambda c: usage_of(c, tenant, request_id))

    async def attempts(self, tenant: str, request_id: str) -> list[Attempt]:
        """Each with its worker, device time and timeline; none where there is no such request."""
        return await self._store.read(lambda c: attempts_of(c, tenant, request_id))

    def timeline(self, view: RequestView, made: Sequence[Attempt]) -> list[Part]:
        """Where its time went up to now, from its attempts."""
        until_us = self._clock.now_us() if view.settled_us is None else view.settled_us
        return parts(view.created_us, until_us, made)

    async def page(self, tenant: str, cursor: str | None = None, limit: int = 50, which: Filter = ALL) -> Page:
        """A page of the tenant's requests, newest first. Raises InvalidInput for a bad cursor."""
        return await self._store.read(lambda c: listing.page_of(c, tenant, cursor, limit, which))

    async def history(self, tenant: str, which: Which, cursor: str | None = None, limit: int = 50) -> PastPage:
        """A page of the tenant's settled requests. Raises InvalidInput for a bad cursor."""
        return await self._store.read(lambda c: history.history_of(c, tenant, which, cursor, limit))

    async def pictures(self, tenant: str, which: PictureFilter, cursor: str | None, limit: int) -> PicturePage:
        """A page of what was generated for the tenant, newest first. Raises InvalidInput for a bad cursor."""
        now = self._clock.now_us()
        return await self._store.read(lambda c: pictures_of(c, tenant, cursor, limit, which, now))

    async def recent(self, since_us: int) -> list[Ended]:
        """How the latest requests of all tenants went, as far as they ended since then: for an operator."""
        return await self._store.read(lambda c: recent(c, since_us))

    async def measured(
        self, tenants: tuple[str, ...], endpoints: tuple[str, ...], spans: Sequence[tuple[int, int]]
    ) -> list[list[Measured]]:
        """Of each span (UTC microseconds, its end excluded) how the requests went that were sent in it, by endpoint."""
        return await self._store.read(
            lambda c: [analytics.measured(c, tenants, endpoints, since, until) for since, until in spans]
        )

    async def standing(self, tenant: str) -> Standing:
        """What the tenant may have, what it has, and when its turn is."""
        now = self._clock.now_us()
        return await self._store.read(lambda c: standing.standing_of(c, tenant, now))

    async def cancel(self, tenant: str, request_id: str) -> CancelResult:
        """End it: at once where it waits, else as soon as its worker answers, dies or falls silent.

        Raises RequestNotFound, AlreadyCompleted.
        """
        now = self._clock.now_us()
        found, settled = None, False
        if well_formed(request_id):
            found, settled = await self._store.write(lambda c: upkeep.cancel(c, tenant, request_id, now))
        if found is None:
            raise views.no_request(request_id)
        if found.state == SETTLED:
            raise AlreadyCompleted(f"request {request_id} ended before: {found.outcome}")
        return CancelResult(settled=settled, lease=found.lease)

    async def delete_payloads(self, tenant: str, request_id: str) -> list[str]:
        """Delete input and outputs now; returns keys that the media store may drop. Raises NotFinished."""
        now = self._clock.now_us()
        return await self._store.write(lambda c: expiry.delete_payloads(c, tenant, request_id, now))

    # What dispatch does for its workers. A stale lease changes nothing.

    async def waiting(self) -> list[Waiting]:
        """Those from whom the next to be leased are chosen: a bounded page in which every lane has its part."""
        now = self._clock.now_us()
        found = await self._store.read(lambda c: None if leasing.anything_to_promote(c, now) else lanes.page(c))
        if found is None:
            await self._store.write(lambda c: leasing.promote(c, now), durable=False)
            found = await self._store.read(lanes.page)
        return found

    async def totals(self) -> list[Total]:
        """How much waits, alike requests together. Walks through the queue's index: not for every moment."""
        return await self._store.read(lanes.totals)

    async def census(self) -> Census:
        """How many requests of all tenants stand where. Walks through the queue's index, as `totals`."""
        return await self._store.read(census)

    async def lease(self, worker: str, most: int, chosen: Sequence[Chosen] | None = None) -> list[Leased]:
        """Put up to `most` requests into the worker's hands: of those chosen, in that order, else who came first."""
        now = self._clock.now_us()
        if chosen is not None:
            some = chosen[:most]
            return await self._store.write(
                lambda c: leasing.lease_chosen(c, worker, some, now, self._lease_us), durable=False
            )
        return await self._store.write(
            lambda c: leasing.lease_next(c, worker, most, now, self._lease_us), durable=False
        )

    async def started(self, lease: Lease, plan: str = "") -> bool:
        """Its first device call begins, under the engine plan of that digest. False for a stale lease."""
        now = self._clock.now_us()
        return await self._store.write(lambda c: leasing.start(c, lease, now, plan), durable=False)

    async def note(self, lease: Lease, level: str, message: str) -> None:
        """A line for its owner's log."""
        now = self._clock.now_us()

        def write(connection: Connection) -> None:
            if held(connection, lease) is not None:
                events.log(connection, lease.request_id, now, level, message)

        await self._store.write(write, durable=False)

    async def renew(self, leases: Iterable[Lease]) -> list[Lease]:
        """Keep them for another `lease_seconds`; returns those that have ended, whose work is in vain."""
        until, wanted = self._clock.now_us() + self._lease_us, list(leases)
        return await self._store.write(lambda c: leasing.renew(c, wanted, until), durable=False) if wanted else []

    async def finish(self, said: Finished) -> bool:
        """Settle it as done, with outputs, usage and webhook. False for a stale lease: its usage is written alone."""
        now = self._clock.now_us()
        return await self._store.write(lambda c: settlement.finish(c, said, now))

    async def fail(self, said: Failed) -> bool:
        """Settle it as failed or cancelled, or let it wait for another attempt. False for a stale lease, as above."""
        now = self._clock.now_us()
        return await self._store.write(lambda c: settlement.fail(c, said, now))

    async def meter(self, lease: Lease, spent: Sequence[Spent]) -> bool:
        """Write down what was observed of an attempt whose worker will say no more; before `release` forgets it.

        False where its usage is written already.
        """
        now = self._clock.now_us()
        return await self._store.write(lambda c: metering.meter(c, lease, spent, (), now))

    async def resumed(self, lease: Lease, former: Lease, spent: Sequence[Spent]) -> None:
        """It goes on from where it was saved under a former lease, whose usage is written unless it is already."""
        now, recovered = self._clock.now_us(), lease.request_id in self._recovered
        self._recovered.discard(lease.request_id)
        await self._store.write(lambda c: metering.meter_former(c, lease, former, spent, recovered, now))

    async def release(self, leases: Iterable[Lease], why: str = "its worker stopped") -> None:
        """Their worker stops in good order, or another shall have its place: they wait again, no attempt counted."""
        now, given = self._clock.now_us(), list(leases)
        await self._on_each(given, lambda c, found: give_back(c, found, why, now))

    async def crashed(self, lease: Lease, why: str, touched: bool = False) -> None:
        """Its worker died: it waits again, or has failed when its attempts are used up. `why` goes to its log.

        An attempt counts that had begun its first device call, or that `touched` its model: had begun to load it.
        """
        now = self._clock.now_us()
        await self._on_each([lease], lambda c, found: upkeep.lost(c, found, why, now, touched))

    async def reclaim(self) -> list[str]:
        """Take back leases that ran out, end what is too late; returns the ids that changed. Cheap when nothing is."""
        now = self._clock.now_us()
        if not await self._store.read(lambda c: upkeep.anything_to_do(c, now)):
            return []
        return await self._store.write(lambda c: upkeep.reclaim(c, now))

    async def cancel_outlived(self) -> dict[str, Lease | None]:
        """Cancel what has not settled in the time that its owner gave; the leases of whose workers must be told."""
        now = self._clock.now_us()
        if not await self._store.read(lambda c: upkeep.any_outlived(c, now)):
            return {}
        return await self._store.write(lambda c: upkeep.cancel_outlived(c, now))

    async def asked_to_end(self, request_ids: Sequence[str]) -> list[Lease]:
        """The leases of those that their owners cancelled while a worker held them."""
        return await self._store.read(lambda c: upkeep.asked_to_end(c, request_ids)) if request_ids else []

    async def recover(self) -> list[str]:
        """Take back every lease of a server that is gone; for who begins to dispatch, before anything is leased."""
        now, changed = self._clock.now_us(), list[str]()
        while some := await self._store.write(lambda c: upkeep.recover(c, now)):
            changed += some
        self._recovered |= set(changed)
        return changed

    # Webhooks: the end is told at least once, what comes before it once.

    async def due_webhooks(
        self, most: int, on_their_way: Collection[str] = (), busy_hosts: Collection[str] = ()
    ) -> list[Delivery]:
        """Ends that should be told now, but for those ids and hosts.

        The same again until it is said how it went.
        """
        now = self._clock.now_us()
        return await self._store.read(lambda c: outbox.due(c, most, now, on_their_way, busy_hosts))

    async def due_tidings(
        self, most: int, on_their_way: Collection[str] = (), busy_hosts: Collection[str] = ()
    ) -> list[Delivery]:
        """The first of what each request has to tell before its end, but for those ids and hosts."""
        return await self._store.read(lambda c: outbox.due_tidings(c, most, on_their_way, busy_hosts))

    async def logged(self, request_ids: Sequence[str]) -> None:
        """There is news of the logs of these, which were leased with `tells_logs`."""
        now = self._clock.now_us()
        await self._store.write(lambda c: tidings.logged(c, request_ids, now), durable=False)

    async def webhook_body(self, delivery: Delivery) -> bytes:
        """The JSON that it tells. Raises what the maker of bodies does, such as for a model no longer served here."""
        tenant, request_id, event = delivery.tenant, delivery.request_id, delivery.event
        return self._webhook_body(await self._store.read(lambda c: told_of(c, self._places, tenant, request_id, event)))

    async def webhook_tried(self, delivery: Delivery, went: Try) -> None:
        """Note how a try went; an end that was not taken is told again by `outbox.RETRY_SECONDS`, and nothing else."""
        now = self._clock.now_us()
        await self._store.write(lambda c: outbox.tried(c, delivery, went, now))

    async def webhook(self, tenant: str, request_id: str) -> Webhook | None:
        """What became of a request's webhook, with each try; None where it has none, has not ended or is forgotten."""
        return await self._store.read(lambda c: outbox.webhook_of(c, tenant, request_id))

    async def redeliver(self, tenant: str, request_id: str) -> None:
        """Deliver a request's webhook now, taken before or not. Raises RequestNotFound, NotFinished, Conflict."""
        now = self._clock.now_us()
        await self._store.write(lambda c: outbox.anew(c, tenant, request_id, now))

    # Expiry.

    async def sweep(self, most: int = expiry.AT_ONCE) -> list[str]:
        """Delete what has expired; returns keys whose bytes the media store should drop, until `purged` is told."""
        now = self._clock.now_us()
        while await self._store.write(lambda c: expiry.sweep(c, now), durable=False):
            pass
        return await self._store.read(lambda c: expiry.purgeable(c, most))

    async def strangers(self, keys: list[str]) -> list[str]:
        """Those keys that no file was ever known by: what a worker stored that died before it could say so."""
        return await self._store.read(lambda c: expiry.strangers(c, keys)) if keys else []

    async def purged(self, keys: list[str]) -> None:
        """The media store has dropped them."""
        now = self._clock.now_us()
        await self._store.write(lambda c: expiry.purged(c, keys, now), durable=False)

    async def _on_each(self, leases: list[Lease], do: Callable[[Connection, Any], object]) -> None:
        def write(connection: Connection) -> None:
            for lease in leases:
                found = held(connection, lease)
                if found is not None:
                    do(connection, found)

        if leases:
            await self._store.write(write)
