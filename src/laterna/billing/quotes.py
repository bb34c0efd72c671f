"""What a request will cost if it succeeds: known when it is submitted, and never more afterwards.

Device time is priced by the solo cost that the model revision's card publishes, never by what a run happened to take:
who shared its batch is luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from laterna.catalog.card import Price as Price
from laterna.contracts.generation import Generation
from laterna.contracts.measures import MILLION, characters, images, lasting, pixel_steps, pixels

FREE = Price()


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A promise: no more than this."""

    amount_nano: int  # billionths of the currency, rounded up
    quantity_micro: int  # millionths of the price's unit

    def part(self, done: int, of: int) -> Quote:
        """Of work that ended after `done` steps `of` so many: rounded down, nothing where none were to be done."""
        done = max(0, min(done, of))
        if not done:
            return Quote(amount_nano=0, quantity_micro=0)
        return Quote(amount_nano=self.amount_nano * done // of, quantity_micro=self.quantity_micro * done // of)


def quote(price: Price, job: Generation) -> Quote:
    """What the job costs at that price."""
    counted = quantity_micro(price, job)
    return Quote(amount_nano=-(-price.nano * counted // MILLION), quantity_micro=counted)


def quantity_micro(price: Price, job: Generation) -> int:
    """How much of the price's unit the job is, in millionths."""
    return _COUNTED[price.unit](price, job)


def _solo_us(price: Price, job: Generation) -> int:
    """Microseconds of device time that the job takes alone, as the card publishes it; rounded up."""
    if price.solo is None:
        return 0
    return job.count * price.solo.image_us - (-price.solo.megapixel_step_us * pixel_steps(job) // MILLION)


_COUNTED: dict[str, Callable[[Price, Generation], int]] = {
    "request": lambda price, job: MILLION,
    "image": lambda price, job: images(job),
    "megapixel": lambda price, job: pixels(job),
    "second": lambda price, job: lasting(job),
    "character": lambda price, job: characters(job),
    "device_second": _solo_us,
}
