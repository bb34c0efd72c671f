"""Counts and percentiles against those that plain Python computes."""

from __future__ import annotations

import asyncio
import math
import random
from pathlib import Path

from laterna.contracts.messages import Finished
from laterna.requests.analytics import PERCENTILES
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import artifact, failed, world


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def test_percentiles_are_those_of_the_values(tmp_path: Path) -> None:
    dice = random.Random(1)

    async def scene() -> None:
        async with world(tmp_path) as w:
            begin, took, waited = w.clock.now_us(), [], []
            for number in range(37):
                sent, leased = w.clock.now_us(), await w.leased(endpoint="test/many")
                w.clock.advance(dice.random())
                await w.requests.started(leased.lease)
                waited.append(w.clock.now_us() - sent)
                if number % 5 == 0:
                    await w.requests.fail(failed(leased.lease))
                    continue
                seconds = round(dice.uniform(0, 9), 6)
                took.append(round(seconds * 1e6))
                made = Finished(lease=leased.lease, artifacts=[artifact(leased.lease)], spent=[], inference_s=seconds)
                await w.requests.finish(made)
            await w.submit(endpoint="test/many")
            await w.requests.cancel(DEFAULT_TENANT, await w.submit(endpoint="test/other"))
            end = w.clock.now_us() + 1
            [[many, other], nothing] = await w.requests.measured(
                (DEFAULT_TENANT, "stranger"), (), [(begin, end), (end, end + 1)]
            )
            assert nothing == []
            assert (many.endpoint, dict(many.ended)) == ("test/many", {None: 29, "sample_failed": 8})
            assert many.inference_us == sum(took)
            assert dict(many.durations_us) == {percent: nearest_rank(took, percent) for percent in PERCENTILES}
            assert dict(many.waits_us) == {percent: nearest_rank(waited, percent) for percent in PERCENTILES}
            assert (other.endpoint, dict(other.ended), dict(other.waits_us)) == (
                "test/other",
                {"client_cancelled": 1},
                {},
            )
            [[only]] = await w.requests.measured((DEFAULT_TENANT,), ("test/other",), [(begin, end)])
            assert only == other
            assert await w.requests.measured(("stranger",), (), [(begin, end)]) == [[]]

    asyncio.run(scene())
