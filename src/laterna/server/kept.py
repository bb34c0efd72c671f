"""Loops that run beside everything else: a bug in one of them ends the server rather than going unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)

End = asyncio.Future[None]  # done when the server is to stop; with an exception where a part of it broke


def keep(stack: AsyncExitStack, loop: Coroutine[Any, Any, None], end: End) -> None:
    """Run it until the stack unwinds."""
    task = asyncio.create_task(loop)
    task.add_done_callback(lambda task: _ended(task, end))
    stack.push_async_callback(_cancel, task)


def _ended(task: asyncio.Task[None], end: End) -> None:
    broke = None if task.cancelled() else task.exception()
    if broke is not None:
        log.critical("a part of the server broke; stopping", exc_info=broke)
        if not end.done():
            end.set_exception(broke)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
