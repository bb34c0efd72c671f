"""What a webhook may tell of a request: how it stands, what was sent, what was logged, all of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from laterna.queue import events
from laterna.queue.events import LogLine
from laterna.requests import views
from laterna.requests.places import Places
from laterna.requests.views import RequestView


@dataclass(frozen=True, kw_only=True)
class Told:
    event: str  # of `laterna.store.states`: what it is told for
    view: RequestView
    input: Any  # JSON as it was sent; None once it is deleted
    logs: Sequence[LogLine]  # oldest first


def told_of(connection: Connection, places: Places, tenant: str, request_id: str, event: str) -> Told:
    """Raises RequestNotFound."""
    return Told(
        event=event,
        view=views.view_of(connection, places, tenant, request_id),
        input=views.raw_input(connection, tenant, request_id),
        logs=events.logs(connection, tenant, request_id),
    )
