"""Sends requests to a server: a closed loop of clients, or an open loop that follows a trace of arrivals."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx2

from bench.arrivals import Arrival, Mix
from bench.servers import Target

PRIORITY = "x-fal-queue-priority"


@dataclass(frozen=True, kw_only=True)
class Block:
    """What one block of requests took."""

    seconds: float  # of wall time
    latencies: list[float]  # seconds, one a request; of an open loop in the order of its arrivals


async def drive(target: Target, clients: int, requests: int) -> Block:
    """`requests` in all, spread over `clients`, each of which sends its next when it has its last answer."""
    left = iter(range(requests))
    latencies: list[float] = []

    async def one(http: httpx2.AsyncClient) -> None:
        latencies.extend([await _ask(http, target, {"seed": seed}, {}) for seed in left])

    begun = time.perf_counter()
    async with _client() as http:
        await asyncio.gather(*(one(http) for _ in range(clients)))
    return Block(seconds=time.perf_counter() - begun, latencies=latencies)


def solo_seconds(target: Target, mix: Mix, times: int) -> dict[int, float]:
    """Median seconds of one request with nothing beside it, by its steps."""
    alone = {kind.steps: asyncio.run(drive(_with(target, kind.steps), 1, times)) for kind in mix}
    return {steps: statistics.median(block.latencies) for steps, block in alone.items()}


def _with(target: Target, steps: int) -> Target:
    return replace(target, body={**target.body, "num_inference_steps": steps})


async def replay(target: Target, arrivals: Sequence[Arrival]) -> Block:
    """Each request at its time, whether or not earlier ones are done; latencies count from the time it was due."""
    begun = time.perf_counter()

    async def one(http: httpx2.AsyncClient, arrival: Arrival) -> float:
        await asyncio.sleep(begun + arrival.at_s - time.perf_counter())
        body: dict[str, object] = {"seed": arrival.seed, "num_inference_steps": arrival.steps}
        await _ask(http, target, body, {PRIORITY: "normal" if arrival.interactive else "low"})
        return time.perf_counter() - begun - arrival.at_s

    async with _client() as http:
        latencies = await asyncio.gather(*(one(http, arrival) for arrival in arrivals))
    return Block(seconds=time.perf_counter() - begun, latencies=list(latencies))


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx2.AsyncClient(timeout=3600, trust_env=False, limits=limits)


async def _ask(http: httpx2.AsyncClient, target: Target, body: dict[str, object], headers: dict[str, str]) -> float:
    """Seconds until the answer; ends the benchmark when it is not 200."""
    begun = time.perf_counter()
    answer = await http.post(target.url, json={**target.body, **body}, headers={**target.headers, **headers})
    if answer.status_code != 200:
        raise SystemExit(f"{target.name} answered {answer.status_code}: {answer.text[:300]}")
    return time.perf_counter() - begun
