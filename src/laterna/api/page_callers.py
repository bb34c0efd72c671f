"""Who looks at the page: the holder of a key, or of the token that opens the page's WebSocket."""

from __future__ import annotations

from laterna.api.services import Services
from laterna.tenants.caller import Caller

PURPOSE = "page"
SECONDS = 60.0  # a token is for opening the WebSocket, at once


def live_token(services: Services, caller: Caller) -> str:
    """What opens the WebSocket for this caller."""
    return services.tokens.mint(caller, PURPOSE, SECONDS)


async def live_caller(services: Services, token: str) -> Caller:
    """Whose token it is. Raises Unauthorized where it has ended, or the key that had it made."""
    said = services.tokens.verify(token, PURPOSE)
    return await services.keys.check(said.key_id)
