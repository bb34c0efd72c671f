"""What a request will cost if it succeeds: known when it is submitted, and never more afterwards."""

from __future__ import annotations

from laterna.catalog.card import Price as Price
from laterna.contracts.generation import Generation

FREE = Price()


def quote(price: Price, job: Generation) -> int:
    """Billionths of the price's currency, rounded up. A picture lasts no seconds, so a price by the second is none."""
    if price.unit == "request":
        return price.nano
    if price.unit == "image":
        return price.nano * job.count
    if price.unit == "megapixel":
        return -(-price.nano * job.count * job.width * job.height // 1_000_000)
    return 0
