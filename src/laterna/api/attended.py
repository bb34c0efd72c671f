"""A request whose client stays on the line: waited for until it is settled, and ended when the client goes before.

Nobody else knows its id; one that somebody else watches, or that an idempotency key repeats, goes on.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import Request

from laterna.api.admission import Admitted, withdraw
from laterna.api.services import Services
from laterna.api.sse import disconnected
from laterna.errors import AlreadyCompleted
from laterna.requests.requests import RequestView
from laterna.requests.wait import until_settled

CLIENT_GONE = 499  # status of an answer that nobody reads


async def attend(request: Request, services: Services, admitted: Admitted) -> RequestView | None:
    """The settled request; None when the client went before, and the request has been ended."""
    view = await _wait(request, services, admitted)
    if view is None:
        await abandon(services, admitted)
    return view


async def abandon(services: Services, admitted: Admitted) -> None:
    """End a request whose client has gone, unless somebody else watches it, or it is over."""
    request_id = admitted.receipt.request_id
    if admitted.receipt.repeated or services.board.watched(request_id):
        return
    with contextlib.suppress(AlreadyCompleted):
        await withdraw(services, admitted.caller.tenant, request_id)


async def _wait(request: Request, services: Services, admitted: Admitted) -> RequestView | None:
    tenant, request_id = admitted.caller.tenant, admitted.receipt.request_id
    settled = asyncio.ensure_future(until_settled(services.requests, services.board, tenant, request_id))
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({settled, gone}, return_when=asyncio.FIRST_COMPLETED)
        return settled.result() if settled.done() else None
    finally:
        for task in (settled, gone):
            task.cancel()
        await asyncio.gather(settled, gone, return_exceptions=True)
