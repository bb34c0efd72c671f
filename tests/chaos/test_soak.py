"""Under steady load the server's memory and its worker's stay where they were, and every request is answered.

It wants the machine for itself, SOAK_MINUTES long: `make test-all` runs it after everything else.
"""

from __future__ import annotations

import os

import pytest

from bench.soak import measure

MINUTES = os.environ.get("SOAK_MINUTES")
GROWTH_PERCENT = 5.0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(MINUTES is None, reason="runs alone: SOAK_MINUTES=15, as `make test-all` does at its end")
def test_memory_stays_flat_under_load() -> None:
    report = measure(False)
    report.show()
    figures = report.figures
    assert figures["failed"] == 0
    assert figures["server_drift_percent"] <= GROWTH_PERCENT
    assert figures["worker_drift_percent"] <= GROWTH_PERCENT
