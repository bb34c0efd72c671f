"""What is submitted, and what its sender gets for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from laterna.billing.quotes import FREE, Price
from laterna.contracts.generation import Generation
from laterna.queue.retries import MOST_ATTEMPTS, NAMED
from laterna.requests.access import Access
from laterna.store.states import COMPLETED

REALTIME, NORMAL, LOW = 0, 1, 2  # priorities
RETRY_CAUSES = NAMED  # what a sender may give numbers of retries for
MOST_RETRIES = MOST_ATTEMPTS - 1  # of one cause


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One request, validated and normalised."""

    tenant: str  # id
    key_id: str | None = None  # absent: the server itself asks
    dialect: str = "fal"  # the shape in which its sender wants errors
    endpoint: str  # id, path included
    card_id: str
    model_revision: str
    raw_input: object  # JSON, in the endpoint's own words
    generation: Generation
    price: Price = FREE  # of the card
    priority: int = NORMAL
    max_attempts: int | None = None  # absent: the server's setting, or what `retries` add up to; 1 for no retries
    retries: Mapping[str, int] | None = None  # by cause, of `laterna.queue.retries`; absent: as usual
    start_by_us: int | None = None  # it expires when it has not begun by then
    finish_by_us: int | None = None  # it expires when it still waits by then
    cancel_by_us: int | None = None  # it is cancelled when it has not settled by then
    not_before_us: int | None = None  # it waits at least until then
    direct: bool = False  # whether its sender stays on the line for the answer
    max_queue_length: int | None = None  # refuse it where so many wait for the same model already
    idempotency_key: str | None = None  # a second submission with the same key gives the first one's receipt
    tags: Mapping[str, str] = field(default_factory=dict)
    store_io: bool = True  # False: input and outputs go an hour after settling
    keep_seconds: int | None = None  # input and outputs are kept so long after settling; absent: the server's setting
    runner_hint: str | None = None  # what it shares with others that should go to the same worker
    access: Access | None = None  # who may read its outputs; absent: whoever has their addresses
    webhook_url: str | None = None
    webhook_events: tuple[str, ...] = (COMPLETED,)  # of `laterna.store.states`: what it is told of
    traceparent: str | None = None  # W3C trace context of its submission; absent: it is not traced
    base_url: str | None = None  # under which its sender reaches this server: for URLs in the webhook


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A durable promise."""

    request_id: str
    position: int  # how many are ahead in the queue; 0 for one that need not wait
    price_nano: int  # charged if it succeeds
    currency: str
    quantity_micro: int  # millionths of the price's unit
    warning: str | None  # of its tenant's budget, for people; absent while there is plenty
    created_us: int
    repeated: bool  # whether an earlier submission with the same idempotency key made it
