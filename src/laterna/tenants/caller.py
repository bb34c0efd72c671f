"""Whoever sent a request, once known."""

from __future__ import annotations

from dataclasses import dataclass

from laterna.errors import Forbidden

API = "API"  # may generate, and see and end what its tenant asked for
METRICS = "METRICS"  # of the first tenant: may read the server's metrics
ADMIN = "ADMIN"  # may also manage keys and delete


@dataclass(frozen=True, kw_only=True)
class Caller:
    tenant: str  # id
    key_id: str
    scopes: frozenset[str]

    def need(self, scope: str) -> None:
        """Raises Forbidden where the key lacks the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this key may not do that: it needs the scope {scope}; use another key")
