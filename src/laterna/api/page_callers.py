"""Who looks at the page: the holder of a key, or of the token that opens the page's WebSocket; and who is the operator.

The operator is whoever holds an ADMIN key of the first tenant, which is in the data folder.
"""

from __future__ import annotations

from laterna.api.services import Services
from laterna.errors import Forbidden
from laterna.tenants.caller import ADMIN, API, Caller
from laterna.tenants.keys import DEFAULT_TENANT

PURPOSE = "page"
SECONDS = 60.0  # a token is for opening the WebSocket, at once
OPERATOR = "operator"  # among a token's apps


def is_operator(caller: Caller) -> bool:
    return ADMIN in caller.scopes and caller.tenant == DEFAULT_TENANT


def need_operator(caller: Caller) -> None:
    """Raises Forbidden for everybody else."""
    if not is_operator(caller):
        raise Forbidden("this is for the operator: use the key in the server's data folder")


def live_token(services: Services, caller: Caller) -> str:
    """What opens the WebSocket for this caller."""
    return services.tokens.mint(caller, PURPOSE, SECONDS, [OPERATOR] if is_operator(caller) else [])


async def live_caller(services: Services, token: str) -> Caller:
    """Whose token it is. Raises Unauthorized where it has ended, or the key that had it made."""
    said = services.tokens.verify(token, PURPOSE)
    await services.keys.check(said.key_id)
    scopes = {API, ADMIN} if OPERATOR in said.apps else {API}
    return Caller(tenant=said.tenant, key_id=said.key_id, scopes=frozenset(scopes))
