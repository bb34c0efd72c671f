"""How far predictions were off, and what to make of it: intervals that held before (split conformal prediction).

The residual of a prediction is actual by predicted. An interval of a share is between the quantiles of the latest
residuals that leave out half the rest on either side, with the finite-sample correction of Vovk et al., "Algorithmic
Learning in a Random World" (2005): it widens where little is known. Remembers the latest only, so that it follows what
changes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

LATEST = 300  # residuals that are remembered
ENOUGH = 20  # of them before they are believed
UNKNOWN = (0.5, 2.0)  # the interval before
LEAST_SECONDS = 1e-4  # what is predicted or measured counts as at least so much


class Residuals:
    """Actual by predicted, of the latest predictions."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def learn(self, predicted: float, actual: float) -> None:
        ratio = max(actual, LEAST_SECONDS) / max(predicted, LEAST_SECONDS)
        if len(self._latest) == LATEST:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(ratio)
        insort(self._sorted, ratio)

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
        left_out = (1 - share) / 2
        low = max(0, math.floor((count + 1) * left_out) - 1)
        high = min(count - 1, math.ceil((count + 1) * (1 - left_out)) - 1)
        return self._sorted[low], self._sorted[high]
