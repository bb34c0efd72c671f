"""Device time divided: the members of a call share its time by their work, to the nanosecond."""

from __future__ import annotations

from collections.abc import Sequence


def divide(device_ns: int, work: Sequence[int]) -> list[int]:
    """Split nanoseconds in proportion to `work` (each at least 1); the shares sum to exactly `device_ns`."""
    total, before, given = sum(work), 0, 0
    shares = []
    for amount in work:
        before += amount
        upto = device_ns * before // total
        shares.append(upto - given)
        given = upto
    return shares
