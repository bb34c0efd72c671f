"""A request whose client stays on the line: waited for until it is settled, and ended when the client goes before.

Nobody else knows its id; one that somebody else watches, or that an idempotency key repeats, goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

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
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        return await attend_until(services, admitted, gone)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def attend_until(services: Services, admitted: Admitted, gone: asyncio.Future[None]) -> RequestView | None:
    """The same for a client of whom `gone` says when it has gone."""
    tenant, receipt = admitted.caller.tenant, admitted.receipt
    waiting = until_settled(services.requests, services.board, tenant, receipt.request_id, new=not receipt.repeated)
    settled = asyncio.ensure_future(waiting)
    try:
        waits: set[asyncio.Future[Any]] = {settled, gone}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if settled.done():
            return settled.result()
    finally:
        settled.cancel()
        await asyncio.gather(settled, return_exceptions=True)
    await abandon(services, admitted)
    return None


async def abandon(services: Services, admitted: Admitted) -> None:
    """End a request whose client has gone, unless somebody else watches it, or it is over."""
    request_id = admitted.receipt.request_id
    if admitted.receipt.repeated or services.board.watched(request_id):
        return
    with contextlib.suppress(AlreadyCompleted):
        await withdraw(services, admitted.caller.tenant, request_id)
