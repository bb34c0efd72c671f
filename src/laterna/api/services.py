"""What the HTTP surfaces stand on, handed over by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from laterna.billing.books import Books
from laterna.catalog.catalog import Catalog
from laterna.clock import Clock
from laterna.config import Settings
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import Lease, Progress
from laterna.dispatch.etas import Eta
from laterna.dispatch.floor import Floor
from laterna.errors import LaternaError
from laterna.media.objects import MediaStore
from laterna.requests.files import Files
from laterna.requests.live import Board
from laterna.requests.requests import Requests, RequestView
from laterna.tenants.keys import Keys
from laterna.tenants.tenants import Tenants
from laterna.tenants.tokens import Tokens


def alone() -> str:
    """There is no other server."""
    return "dispatcher"


def no_problem() -> str | None:
    """All is well."""
    return None


def no_refusal(model: ModelRef) -> LaternaError | None:
    """Every model may run."""
    return None


@dataclass(frozen=True, kw_only=True)
class Services:
    """Every part that a surface may call."""

    settings: Settings
    clock: Clock
    catalog: Catalog
    requests: Requests
    board: Board
    files: Files
    keys: Keys
    books: Books
    tokens: Tokens
    tenants: Tenants
    media: MediaStore
    eta: Callable[[RequestView], Eta | None]  # when it will be done; None when nobody knows
    progress: Callable[[str], Progress | None]  # the latest of a running request, by its id; None when it does not run
    canceller: Callable[[Lease], Awaitable[None]]  # tells the worker that holds the lease to stop
    watcher: Callable[[Lease], None]  # tells it that previews are wanted
    wake: Callable[[], None]  # tells dispatch that something may be leased
    webhook_secret: Callable[[str], str]  # a tenant's, that its Replicate webhooks are signed with
    jwks: Callable[[], dict[str, Any]]  # the public keys of webhooks' signatures
    floor: Floor  # what devices do now
    role: Callable[[], str] = alone  # dispatcher, or replica where another server on the database has the workers
    problem: Callable[[], str | None] = no_problem  # why nothing can be generated now; None when all is well
    refusal: Callable[[ModelRef], LaternaError | None] = no_refusal  # why a model can never run here; None when it may
