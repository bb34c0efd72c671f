"""The layer around the router that measures: each answer's time, under the route that gave it."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laterna import metrics

NOWHERE = "none"  # the route of what was refused before or by the router


class Measured:
    """Inside of what rewrites paths, so that the route is seen; WebSockets pass unmeasured, as they last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic_ns(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", NOWHERE)
            seconds = (time.monotonic_ns() - begun) / 1e9
            metrics.HTTP.labels(_method(scope["method"]), route, str(status)).observe(seconds)


def _method(text: str) -> str:
    """Anybody may make methods up: those are one."""
    return text if text in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "QUERY") else "other"
