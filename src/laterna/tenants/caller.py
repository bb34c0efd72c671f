"""Whoever sent a request, once known, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from laterna.errors import Forbidden, InvalidInput, Problem

READ = "READONLY"  # may see what its tenant asked for
API = "API"  # may also generate, and end what its tenant asked for
ADMIN = "ADMIN"  # may also manage its tenant's keys, and delete
METRICS = "METRICS"  # of the first tenant: may read the server's metrics
KINDS = {"read-only": (READ,), "api": (API,), "admin": (API, ADMIN), "metrics": (METRICS,)}  # of keys: scopes of each

DEFAULT_TENANT = "default"  # the operator's own
ALL_MODELS = ("*",)
PATTERN = re.compile(r"[A-Za-z0-9._/@*-]{1,200}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Caller:
    tenant: str  # id
    key_id: str
    scopes: frozenset[str]
    models: tuple[str, ...] = ALL_MODELS  # patterns of the endpoint ids that it may use
    realtime: bool = False  # whether its requests may ask for the realtime class
    apps: tuple[str, ...] = ()  # whose requests alone a browser's token may touch; empty: it is a key

    @property
    def operates(self) -> bool:
        """Whether it manages tenants: an admin key of the operator's own tenant."""
        return self.tenant == DEFAULT_TENANT and ADMIN in self.scopes

    def need(self, scope: str) -> None:
        """Raises Forbidden where the key lacks the scope."""
        if scope not in self.scopes and not (scope == READ and API in self.scopes):
            raise Forbidden(f"this key may not do that: it needs the scope {scope}; use another key")

    def need_operator(self) -> None:
        """Raises Forbidden where the key does not manage tenants."""
        if not self.operates:
            raise Forbidden(f"this key may not do that: it takes an admin key of the tenant {DEFAULT_TENANT!r}")

    def need_model(self, endpoint: str) -> None:
        """Raises Forbidden where the key may not use the endpoint."""
        if not matches(self.models, endpoint):
            allowed = ", ".join(self.models) or "none"
            raise Forbidden(f"this key may not use {endpoint!r}, only: {allowed}; ask an admin for a key that may")

    def need_to_give(self, models: Iterable[str], realtime: bool) -> None:
        """Raises Forbidden where a key with these would have more than this one, whose holder learns its secret.

        A pattern that this key's patterns match as a text means nothing that they do not.
        """
        if self.operates:
            return
        for pattern in models:
            self.need_model(pattern)
        if realtime:
            self.need_realtime()

    def need_realtime(self) -> None:
        """Raises Forbidden where the key has no part in the realtime class."""
        if not self.realtime:
            raise Forbidden(
                "this key may not ask for realtime priority; send normal or low, or ask the operator for a key with "
                "realtime (`laterna keys create --realtime`)"
            )


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises InvalidInput naming the first that is no pattern of endpoint ids."""
    for pattern in patterns:
        if PATTERN.fullmatch(pattern) is None:
            what = "expected an endpoint's id, in which * stands for any characters"
            raise InvalidInput(Problem(loc=("body", "models"), msg=what, input=pattern[:100]))


def matches(patterns: Iterable[str], endpoint: str) -> bool:
    """Whether an endpoint's id is one of those meant; `*` stands for any characters, slashes too."""
    return any(fnmatchcase(endpoint, pattern) for pattern in patterns)
