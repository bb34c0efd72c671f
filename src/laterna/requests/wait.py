"""Wait for a request to settle: woken by the board, and looking now and then in case nobody wakes it."""

from __future__ import annotations

from laterna.requests.live import Board
from laterna.requests.requests import Requests
from laterna.requests.views import RequestView

LOOK_SECONDS = 5.0


async def until_settled(requests: Requests, board: Board, tenant: str, request_id: str) -> RequestView:
    """The settled request. Raises RequestNotFound. Bound the wait with `asyncio.timeout`."""
    with board.watch(request_id) as events:
        while not (view := await requests.get(tenant, request_id)).settled:
            await events.next(LOOK_SECONDS)
        return view
