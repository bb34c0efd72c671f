"""A rival of bench.serving: Laterna's own engine, first come first served, behind the smallest FastAPI server.

This is what plain continuous batching does: whoever comes joins the next step, and the largest batch is the only
limit. No priorities, no shares, no shortest first, no knee; and no queue that keeps anything.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from asyncio import AbstractEventLoop, Future
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image

from bench.serving_peer import encode
from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Assign, Failed, Lease, Observation, Progress
from laterna.engine.engine import Engine, Said
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.families import load_family
from laterna.families.family import Picture
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Shares
from laterna.simulation.first_come import FirstCome


class Service:
    """The engine on a thread of its own. Its own audience: the last picture of a request answers it."""

    def __init__(self) -> None:
        clock = SystemClock()
        self._ref = Catalog.load(None).card("laterna/sprite").ref()
        self._orders: queue.SimpleQueue[tuple[Assign, AbstractEventLoop, Future[Picture]]] = queue.SimpleQueue()
        self._waiting: dict[str, tuple[AbstractEventLoop, Future[Picture]]] = {}  # by request id
        residency = Residency(lambda ref: load_family(ref, torch.device("cpu"), torch.float32), 2**33, clock)
        self._engine = Engine(residency, FirstCome(clock, CostModel(), Shares()), clock, self)

    def start(self) -> None:
        threading.Thread(target=self._loop, daemon=True).start()

    async def generate(self, job: TextToImage) -> Picture:
        loop = asyncio.get_running_loop()
        answer: Future[Picture] = loop.create_future()
        name = str(id(answer))
        order = Assign(
            lease=Lease(request_id=name, token=name),
            model=self._ref,
            generation=job,
            tenant="everybody",
            priority=1,
            created_us=time.time_ns() // 1000,
        )
        self._orders.put((order, loop, answer))
        return await answer

    def _loop(self) -> None:
        busy = False
        while True:
            while not busy or not self._orders.empty():
                order, loop, answer = self._orders.get()
                self._waiting[order.lease.request_id] = (loop, answer)
                self._engine.submit(order)
                busy = True
            busy = self._engine.turn()

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        loop, answer = self._waiting.pop(run.order.lease.request_id)
        loop.call_soon_threadsafe(answer.set_result, picture)

    def say(self, message: Said) -> None:
        if isinstance(message, Failed):
            loop, answer = self._waiting.pop(message.lease.request_id)
            loop.call_soon_threadsafe(answer.set_exception, RuntimeError(message.message))

    def observe(self, seen: Observation) -> None: ...

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None: ...

    def complete(self, run: Run) -> None: ...


def build() -> FastAPI:
    app, service = FastAPI(), Service()
    service.start()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/generate")
    async def one(body: dict[str, Any]) -> dict[str, Any]:
        job = TextToImage(
            prompt=body["prompt"],
            width=64,
            height=64,
            steps=body["num_inference_steps"],
            cfg_scale=body["guidance_scale"],
            sampler="flow_euler",
            seed=body["seed"],
        )
        return encode(Image.fromarray(await service.generate(job)))

    return app


if __name__ == "__main__":
    uvicorn.run(build(), port=int(sys.argv[1]), log_level="error")
