"""A prediction as it happens, for Replicate's clients: its log, its files, its end.

The address carries the right to it, since the JavaScript client sends no key there.
"""

from __future__ import annotations

import itertools

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from laterna.api.callers import follower_of
from laterna.api.hosts import origin_of
from laterna.api.replicate_views import BASE, CANCELED, SUCCEEDED, file_data, status_of
from laterna.api.services import Services
from laterna.api.sse import Event, Events, EventStream
from laterna.contracts.messages import Progress
from laterna.requests.requests import RequestView
from laterna.requests.wait import LOOK_SECONDS
from laterna.tenants.caller import Caller

REASONS = {SUCCEEDED: {}, CANCELED: {"reason": "canceled"}}  # of an end


class ReplicateStream:
    """`/replicate/v1/predictions/{id}/stream`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route(f"{BASE}/predictions/{{prediction}}/stream", self.follow, methods=["GET"])]

    async def follow(self, request: Request) -> EventStream:
        """Events until its end; one that has ended is told from its beginning."""
        prediction = request.path_params["prediction"]
        caller = await follower_of(self._services, request.query_params.get("token", ""), prediction)
        await self._services.requests.get(caller.tenant, prediction)
        return EventStream(self._events(caller, prediction, origin_of(request).cdn))

    async def _events(self, caller: Caller, prediction: str, cdn: str) -> Events:
        requests, seq, ids = self._services.requests, 0, itertools.count(1)
        with self._services.board.watch(prediction) as watch:
            while True:
                view = await requests.get(caller.tenant, prediction)
                for line in await requests.logs(caller.tenant, prediction, seq):
                    seq = line.seq
                    yield Event(name="logs", data=f"{line.message}\n", id=str(next(ids)))
                if view.settled:
                    for name, data in await self._end(view, cdn):
                        yield Event(name=name, data=data, id=str(next(ids)))
                    return
                while isinstance(await watch.next(LOOK_SECONDS), Progress):
                    pass

    async def _end(self, view: RequestView, cdn: str) -> list[tuple[str, str]]:
        """Each file, or what went wrong; then that it is over."""
        files = await file_data(view, self._services, cdn) or []
        told = [("output", url) for url in files]
        status = status_of(view)
        if status not in REASONS and view.trouble is not None:
            told.append(("error", _json({"detail": view.trouble.message})))
        return [*told, ("done", _json(REASONS.get(status, {"reason": "error"})))]


def _json(value: dict[str, str]) -> str:
    return msgspec.json.encode(value).decode()
