"""Wait for a request to settle: woken by the board, and looking now and then in case nobody wakes it."""

from __future__ import annotations

from laterna.contracts.messages import Progress
from laterna.requests.live import Board, Event
from laterna.requests.requests import Requests
from laterna.requests.views import RequestView

LOOK_SECONDS = 5.0


async def until_settled(requests: Requests, board: Board, tenant: str, request_id: str) -> RequestView:
    """The settled request. Raises RequestNotFound. Bound the wait with `asyncio.timeout`."""
    with board.watch(request_id) as events:
        while not (view := await requests.get(tenant, request_id)).settled:
            while _goes_on(await events.next(LOOK_SECONDS)):
                pass
        return view


def _goes_on(event: Event | None) -> bool:
    """Whether the request cannot have settled by what was heard; None: nothing was, for long."""
    return isinstance(event, Progress) or (event is not None and not event.over)
