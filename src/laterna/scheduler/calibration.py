"""How far predictions were off, and what to make of it: intervals that held before (split conformal prediction).

The residual of a prediction is actual by predicted. An interval of a share is the shortest that holds so many of the
latest residuals, with the finite-sample correction of Vovk et al., "Algorithmic Learning in a Random World" (2005): it
widens where little is known. As predictions are more often far too short than far too long, it is much shorter than
one that leaves out as many on either side. Remembers the latest only, so that it follows what changes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable

LATEST = 300  # residuals that are remembered
ENOUGH = 20  # of them before they are believed
UNKNOWN = (0.5, 2.0)  # the interval before
CHOSEN = 0.01  # of the residuals that an interval holds beyond its share, for having been chosen as the shortest
LEAST_SECONDS = 1e-4  # what is predicted or measured counts as at least so much


class Residuals:
    """Actual by predicted, of the latest predictions."""

    def __init__(self, latest: Iterable[float] = ()) -> None:
        """`latest`: what is known, oldest first."""
        self._latest: deque[float] = deque(latest)
        self._sorted: list[float] = sorted(self._latest)

    def learn(self, predicted: float, actual: float) -> None:
        ratio = max(actual, LEAST_SECONDS) / max(predicted, LEAST_SECONDS)
        if len(self._latest) == LATEST:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(ratio)
        insort(self._sorted, ratio)

    def latest(self) -> list[float]:
        """Oldest first."""
        return list(self._latest)

    @property
    def enough(self) -> bool:
        """Whether as much is known as an interval needs."""
        return len(self._sorted) >= ENOUGH

    def middle(self) -> float:
        """The median; 1 before enough is known."""
        return self._sorted[len(self._sorted) // 2] if self.enough else 1.0

    def interval(self, share: float) -> tuple[float, float]:
        """Factors around a prediction between which that share of the actual values fell, and is to be expected."""
        count = len(self._sorted)
        if not self.enough:
            return UNKNOWN
        inside = min(count, math.ceil((count + 1) * (share + CHOSEN)))
        low = min(range(count - inside + 1), key=lambda at: self._sorted[at + inside - 1] - self._sorted[at])
        return self._sorted[low], self._sorted[low + inside - 1]
