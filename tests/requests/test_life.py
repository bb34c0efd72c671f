"""From submit to settle, as an owner and as dispatch see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import finished, job, world


def test_a_request_goes_from_submit_to_its_result(tmp_path: Path) -> None:
    async def life() -> None:
        async with world(tmp_path) as w:
            request_id = await w.submit()
            waiting = await w.requests.get(DEFAULT_TENANT, request_id)
            assert (waiting.state, waiting.position, waiting.outcome) == ("queued", 0, None)
            [leased] = await w.requests.lease("cpu", 10)
            assert leased.lease.request_id == request_id
            assert (leased.attempt, leased.generation) == (1, job())
            assert (await w.requests.get(DEFAULT_TENANT, request_id)).position == 0
            w.clock.advance(1)
            assert await w.requests.started(leased.lease)
            running = await w.requests.get(DEFAULT_TENANT, request_id)
            assert (running.state, running.position, running.started_us) == ("running", None, w.clock.now_us())
            await w.requests.note(leased.lease, "INFO", "half way")
            assert await w.requests.finish(finished(leased.lease))
            done = await w.requests.get(DEFAULT_TENANT, request_id)
            assert (done.outcome, done.inference_s, done.trouble, done.lease) == ("ok", 1.5, None, None)
            assert [(made.index, made.seed, made.width) for made in done.outputs] == [(0, 7, 64)]
            assert [line.message for line in await w.requests.logs(DEFAULT_TENANT, request_id)] == ["half way"]
            assert sum(line.device_ns for line in await w.requests.usage(DEFAULT_TENANT, request_id)) == 105

    asyncio.run(life())
