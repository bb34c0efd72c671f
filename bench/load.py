"""A closed loop of clients: each sends its next request when it has its last answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx2

from bench.servers import Target


@dataclass(frozen=True, kw_only=True)
class Block:
    """What one block of requests took."""

    seconds: float  # of wall time
    latencies: list[float]  # seconds, one a request


async def drive(target: Target, clients: int, requests: int) -> Block:
    """`requests` in all, spread over `clients`; raises when one does not answer 200."""
    left = iter(range(requests))
    latencies: list[float] = []

    async def one(http: httpx2.AsyncClient) -> None:
        for seed in left:
            begun = time.perf_counter()
            answer = await http.post(target.url, json={**target.body, "seed": seed}, headers=target.headers)
            latencies.append(time.perf_counter() - begun)
            if answer.status_code != 200:
                raise SystemExit(f"{target.name} answered {answer.status_code}: {answer.text[:300]}")

    begun = time.perf_counter()
    async with httpx2.AsyncClient(timeout=300, trust_env=False) as http:
        await asyncio.gather(*(one(http) for _ in range(clients)))
    return Block(seconds=time.perf_counter() - begun, latencies=latencies)
