"""Wait for a request to settle: woken by the board, and looking now and then in case nobody wakes it."""

from __future__ import annotations

from laterna.contracts.messages import Progress
from laterna.requests.live import Board, Event, Watch
from laterna.requests.requests import Requests
from laterna.requests.views import RequestView

LOOK_SECONDS = 5.0
NEW_SECONDS = 0.05  # before the first look at a new one: if it is over so soon, that was told to nobody


async def until_settled(
    requests: Requests, board: Board, tenant: str, request_id: str, *, new: bool = False
) -> RequestView:
    """The settled request. Bound the wait with `asyncio.timeout`.

    Args:
        new: it was submitted a moment ago.

    Raises RequestNotFound.
    """
    with board.watch(request_id) as events:
        if new:
            await _may_be_over(events, NEW_SECONDS)
        while not (view := await requests.get(tenant, request_id)).settled:
            await _may_be_over(events, LOOK_SECONDS)
        return view


async def _may_be_over(events: Watch, seconds: float) -> None:
    """Wait until the request may have settled by what is heard, or nothing was heard for so long."""
    while _goes_on(await events.next(seconds)):
        pass


def _goes_on(event: Event | None) -> bool:
    """Whether the request cannot have settled by what was heard; None: nothing was, for long."""
    return isinstance(event, Progress) or (event is not None and not event.over)
