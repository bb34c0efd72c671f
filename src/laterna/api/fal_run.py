"""fal's sync run and stream: one HTTP request that stays until the work is done. Both go through the durable queue.

Nobody else knows the id of such a request, so it is ended when its client goes; not when the server stops.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from laterna.api.admission import Admitted, admit
from laterna.api.attended import CLIENT_GONE, abandon, attend
from laterna.api.fal import SUBMIT_METHODS, result_response
from laterna.api.fal_views import preview_output, result_body, trouble_body
from laterna.api.hosts import Origin, origin_of
from laterna.api.services import Services
from laterna.api.sse import Events, EventStream
from laterna.contracts.messages import Progress
from laterna.requests.requests import RequestView
from laterna.requests.wait import LOOK_SECONDS


class FalRun:
    """`/{endpoint}` and `/{endpoint}/stream`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("/{endpoint:path}/stream", self.stream, methods=SUBMIT_METHODS),
            Route("/{endpoint:path}", self.run, methods=SUBMIT_METHODS),
        ]

    async def run(self, request: Request) -> Response:
        """Generate and answer with the output."""
        admitted = await admit(request, self._services, request.path_params["endpoint"], direct=True)
        view = await attend(request, self._services, admitted)
        if view is None:
            return Response(status_code=CLIENT_GONE, headers=admitted.headers)
        return result_response(self._services, view, origin_of(request))

    async def stream(self, request: Request) -> EventStream:
        """Generate and show previews as events; the last event is the complete output."""
        admitted = await admit(request, self._services, request.path_params["endpoint"], previews=True, direct=True)
        events = self._previews(admitted, origin_of(request))
        return EventStream(events, admitted.headers, lambda: abandon(self._services, admitted))

    async def _previews(self, admitted: Admitted, origin: Origin) -> Events:
        """Previews while it runs, then the output or the error."""
        services, request_id = self._services, admitted.receipt.request_id
        with services.board.watch(request_id) as watch:
            while True:
                view = await services.requests.get(admitted.caller.tenant, request_id)
                if view.settled:
                    yield self._last(view, origin)
                    return
                event = await watch.next(LOOK_SECONDS)
                while isinstance(event, Progress):
                    shown = preview_output(event)
                    if shown is not None:
                        yield shown
                    event = await watch.next(LOOK_SECONDS)

    def _last(self, view: RequestView, origin: Origin) -> dict[str, object]:
        if view.trouble is not None:
            return trouble_body(view.trouble)
        return result_body(view, self._services.catalog, origin.cdn)
