"""Weighted fair sharing between tenants: device seconds that each had, divided by its weight, as a virtual time.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with requests as packets: the tenant whose virtual time is
least comes next; who was away begins at the least of those present, with no credit for its absence. What a request in
progress uses counts when it ends, when another tenant comes, or once it is `QUANTUM_SECONDS`: so that two tenants'
requests are run one after the other rather than both at half the speed, a long one still yields, and who comes is not
kept waiting by what is in progress. Knows no clock and no store.
"""

from __future__ import annotations

from collections.abc import Mapping

QUANTUM_SECONDS = 1.0  # of device time that a request in progress may have ahead of its tenant's count


class Shares:
    """One scheduler's view of its tenants."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = dict(weights or {})
        self._counted: dict[str, float] = {}  # virtual seconds
        self._pending: dict[str, float] = {}  # used by what is in progress, not counted yet
        self._began: dict[str, float] = {}  # of those present: no less than this was their virtual time as they came
        self._floor = 0.0  # where newcomers begin

    def weight(self, tenant: str) -> float:
        return self._weights.get(tenant, 1.0)

    def weigh(self, tenant: str, weight: float) -> None:
        self._weights[tenant] = weight

    def virtual(self, tenant: str) -> float:
        """Its virtual time in seconds: whose is least comes next."""
        return self._counted.get(tenant, self._floor)

    def set(self, tenant: str, virtual_s: float) -> bool:
        """What the store says of it. Returns whether its virtual time changed."""
        before = self.virtual(tenant)
        self._counted[tenant] = max(virtual_s, self._began.get(tenant, 0.0))
        return self._counted[tenant] != before

    def arrive(self, tenant: str) -> list[str]:
        """It has something to run, and had nothing before. Returns the others whose virtual time changed by that."""
        if tenant in self._began:
            return []
        self._rise()
        self._counted[tenant] = max(self.virtual(tenant), self._floor)
        self._began[tenant] = self._floor
        return [other for other in list(self._pending) if other != tenant and self.count(other)]

    def leave(self, tenant: str) -> None:
        """It has nothing to run any more."""
        if tenant in self._began:
            self._rise()
            del self._began[tenant]
            if not self._began:
                self._floor = max(self._floor, self.virtual(tenant))

    def spend(self, tenant: str, seconds: float) -> bool:
        """It used device time; returns whether its virtual time changed."""
        pending = self._pending.get(tenant, 0.0) + seconds
        self._pending[tenant] = pending
        return self.count(tenant) if pending >= QUANTUM_SECONDS else False

    def count(self, tenant: str) -> bool:
        """Count what is pending: something of its ended. Returns whether its virtual time changed."""
        pending = self._pending.pop(tenant, 0.0)
        self._counted[tenant] = self.virtual(tenant) + pending / self.weight(tenant)
        return pending != 0.0

    def _rise(self) -> None:
        if self._began:
            self._floor = max(self._floor, min(self.virtual(tenant) for tenant in self._began))
