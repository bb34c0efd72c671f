"""fal's queue: submit, status, status stream, result, cancel. Requests are found by id, whatever the path says."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.admission import admit, withdraw
from laterna.api.asked import truth
from laterna.api.callers import caller_of, sees
from laterna.api.costs import cost_headers
from laterna.api.errors import told
from laterna.api.fal_views import (
    COMPLETED,
    IN_PROGRESS,
    IN_QUEUE,
    eta_body,
    progress_body,
    result_body,
    status_body,
    urls,
    wire_state,
)
from laterna.api.hosts import Origin, origin_of
from laterna.api.services import Services
from laterna.api.sse import Events, EventStream
from laterna.contracts.messages import Progress
from laterna.dispatch.etas import Eta
from laterna.errors import NotFinished
from laterna.requests.requests import LogLine, RequestView
from laterna.requests.views import no_request
from laterna.tenants.caller import API, READ, Caller

SUBMIT_METHODS = ["POST", "GET", "PUT", "PATCH"]
LOOK_SECONDS = 5.0  # between looks at a request of which nobody says anything
LEAST_SECONDS = 0.05  # between two events of progress


class FalQueue:
    """`/queue/...`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        found = []
        for one in ("/queue/requests/{request_id}", "/queue/{app:path}/requests/{request_id}"):
            found += [
                Route(f"{one}/status/stream", self.status_stream, methods=["GET"]),
                Route(f"{one}/status", self.status, methods=["GET"]),
                Route(f"{one}/cancel", self.cancel, methods=["PUT", "POST"]),
                Route(f"{one}/response", self.result, methods=["GET"]),
                Route(one, self.result, methods=["GET"]),
            ]
        return [*found, Route("/queue/{endpoint:path}", self.submit, methods=SUBMIT_METHODS)]

    async def submit(self, request: Request) -> Response:
        """Accept a request; it is durable when this answers."""
        admitted = await admit(request, self._services, request.path_params["endpoint"])
        receipt = admitted.receipt
        view = await self._services.requests.get(admitted.caller.tenant, receipt.request_id)
        body = {
            "status": IN_QUEUE,
            "request_id": receipt.request_id,
            "gateway_request_id": receipt.request_id,
            **urls(receipt.request_id, admitted.endpoint, origin_of(request)),
            "queue_position": receipt.position,
            "price": {"amount": receipt.price_nano / 1e9, "currency": receipt.currency},
            **eta_body(self._services.eta(view)),
        }
        return JSONResponse(body, headers=admitted.headers)

    async def status(self, request: Request) -> Response:
        """Where the request stands: 202 until it is over, 200 then."""
        caller, view = await self._find(request)
        lines = None
        if truth(request.query_params.get("logs")):
            lines = await self._services.requests.logs(caller.tenant, view.request_id)
        body = status_body(view, origin_of(request), lines, self._eta(view))
        latest = self._services.progress(view.request_id)
        if latest is not None and body["status"] == IN_PROGRESS:
            body["progress"] = progress_body(latest, preview=False)
        code = 200 if body["status"] == COMPLETED else 202
        return JSONResponse(body, code, {"x-fal-request-id": view.request_id})

    async def status_stream(self, request: Request) -> EventStream:
        """The status whenever it changes, with new log lines, progress and, where asked for, previews."""
        caller, view = await self._find(request)
        events = self._follow(
            caller,
            view.request_id,
            origin_of(request),
            logs=truth(request.query_params.get("logs")),
            previews=truth(request.query_params.get("previews")),
        )
        return EventStream(events, {"x-fal-request-id": view.request_id})

    async def result(self, request: Request) -> Response:
        """The output, or the error that the request ended with."""
        _, view = await self._find(request)
        return result_response(self._services, view, origin_of(request))

    async def cancel(self, request: Request) -> Response:
        """End the request: at once while it waits, at its next step while it runs."""
        caller, view = await self._find(request, API)
        request_id = view.request_id
        await withdraw(self._services, caller.tenant, request_id)
        return JSONResponse(
            {"status": "CANCELLATION_REQUESTED", "success": True}, 202, {"x-fal-request-id": request_id}
        )

    async def _find(self, request: Request, scope: str = READ) -> tuple[Caller, RequestView]:
        caller = await caller_of(request, self._services, request.path_params.get("app", ""), scope=scope)
        view = await self._services.requests.get(caller.tenant, request.path_params["request_id"])
        if not sees(caller, view.endpoint):
            raise no_request(view.request_id)
        return caller, view

    def _eta(self, view: RequestView) -> Eta | None:
        return None if view.settled else self._services.eta(view)

    async def _follow(self, caller: Caller, request_id: str, origin: Origin, *, logs: bool, previews: bool) -> Events:
        """Statuses until the request is over. Log lines are told once each."""
        said: Any = None
        seq, watched = 0, ""
        last_ns = float("-inf")
        with self._services.board.watch(request_id) as watch:
            while True:
                view = await self._services.requests.get(caller.tenant, request_id)
                lines = await self._lines(caller, request_id, seq) if logs else []
                seq = max([seq, *(line.seq for line in lines)])
                if (view.state, view.position) != said or lines:
                    said = (view.state, view.position)
                    yield status_body(view, origin, lines if logs else None, self._eta(view))
                if view.settled:
                    return
                if previews and view.lease is not None and view.lease.token != watched:
                    watched = view.lease.token
                    self._services.watcher(view.lease)
                event = await watch.next(LOOK_SECONDS)
                now_ns = self._services.clock.monotonic_ns()
                if isinstance(event, Progress) and wire_state(view) != IN_QUEUE:
                    shown = previews and event.preview is not None
                    if shown or now_ns - last_ns >= LEAST_SECONDS * 1e9:
                        last_ns = now_ns
                        body = status_body(view, origin, [] if logs else None)
                        yield {**body, "progress": progress_body(event, preview=shown)}

    async def _lines(self, caller: Caller, request_id: str, after: int) -> list[LogLine]:
        return await self._services.requests.logs(caller.tenant, request_id, after)


def result_response(services: Services, view: RequestView, origin: Origin) -> Response:
    """The answer of a request that is over; its own error where it failed. Raises NotFinished before that."""
    if not view.settled:
        raise NotFinished(f"request {view.request_id} is still in progress; follow its status")
    headers = {"x-fal-request-id": view.request_id, **cost_headers(view)}
    if view.worker is not None:
        headers |= {"x-fal-served-from": view.worker, "x-fal-runner-hints": view.worker}
    if view.trouble is not None:
        response = told(view.trouble.code, view.trouble.message)
        response.headers.update(headers)
        return response
    return JSONResponse(result_body(view, services.catalog, origin.cdn), headers=headers)
