"""Which worker ran what came with the same hint before: a preference, so that what it holds ready is used again.

A hint is the sender's own word (a session, a LoRA) or a worker's name, as answers tell it. Remembered in memory alone:
after a restart no worker is warm.
"""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 10_000  # hints of all tenants; the one unused for longest goes


class Affinity:
    """One for dispatch."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], str] = OrderedDict()  # (tenant, hint) -> worker

    def worker(self, tenant: str, hint: str | None) -> str | None:
        """Whom the hint means, be it there or not; None without a hint."""
        return None if hint is None else self._last.get((tenant, hint), hint)

    def note(self, tenant: str, hint: str | None, worker: str) -> None:
        """It goes there."""
        if hint is None:
            return
        self._last[tenant, hint] = worker
        self._last.move_to_end((tenant, hint))
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
