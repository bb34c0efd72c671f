"""A process that submits and settles is killed at random: what it acknowledged is there, and only once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import World, finished, world

CHILD = """
import asyncio, sys
from pathlib import Path
from laterna.clock import SystemClock
from tests.requests.conftest import finished, world

async def main():
    async with world(Path(sys.argv[1]), SystemClock()) as w:
        await w.requests.recover()
        async def client():
            while True:
                print("submitted", await w.submit(), flush=True)
        async def worker():
            while True:
                for leased in await w.requests.lease("cpu", 3):
                    await w.requests.started(leased.lease)
                    if await w.requests.finish(finished(leased.lease)):
                        print("settled", leased.lease.request_id, flush=True)
        await asyncio.gather(client(), client(), client(), worker())

asyncio.run(main())
"""


def run_and_kill(folder: Path, seconds: float) -> list[tuple[str, str]]:
    """What a child acknowledged until it was killed."""
    command = [sys.executable, "-c", CHILD, str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    said = [line.split() for line in lines if line.endswith("\n")]
    complete = [words for words in said if words[0] in ("submitted", "settled")]  # the others are its log's
    assert complete, "the child acknowledged nothing"
    return [(kind, request_id) for kind, request_id in complete]


async def _finish_all(w: World) -> None:
    """As a next server would: take back what was held, then work until nothing is left."""
    await w.requests.recover()
    while leased := await w.requests.lease("cpu", 50):
        for one in leased:
            assert await w.requests.finish(finished(one.lease))


@pytest.mark.parametrize(
    "seed", [1, 2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    said: list[tuple[str, str]] = []
    for _ in range(3):
        said += run_and_kill(tmp_path, chance.uniform(0.0, 0.3))

    async def scene() -> None:
        async with world(tmp_path) as w:
            for kind, request_id in said:
                view = await w.requests.get(DEFAULT_TENANT, request_id)
                assert kind == "submitted" or view.outcome == "ok"
            await _finish_all(w)
            for _, request_id in said:
                view = await w.requests.get(DEFAULT_TENANT, request_id)
                lines = await w.requests.usage(DEFAULT_TENANT, request_id)
                assert (view.outcome, len(view.outputs), len(lines)) == ("ok", 1, 3)

    asyncio.run(scene())
    assert {kind for kind, _ in said} == {"submitted", "settled"} or len(said) < 10
