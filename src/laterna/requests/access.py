"""Who may read a file: its owner always, others as its access list says; without one, whoever has its address."""

from __future__ import annotations

from typing import Literal

import msgspec

Decision = Literal["allow", "forbid", "hide"]  # hide: as if it were not there
MOST_RULES = 100


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For one reader."""

    user: str  # a tenant's id
    decision: Decision


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """fal's `initial_acl`."""

    default: Decision = "allow"
    rules: tuple[Rule, ...] = ()  # at most MOST_RULES; the first that names the reader counts

    def __post_init__(self) -> None:
        """Raises ValueError for too many rules."""
        if len(self.rules) > MOST_RULES:
            raise ValueError(f"at most {MOST_RULES} rules")

    def decide(self, owner: str, reader: str | None) -> Decision:
        """For tenants by their ids; a reader who is None gave no key."""
        if reader == owner:
            return "allow"
        return next((rule.decision for rule in self.rules if rule.user == reader), self.default)


def stored(access: Access | None) -> str | None:
    """As text for the store; None for a file that whoever has its address may read."""
    return None if access is None or access == Access() else msgspec.json.encode(access).decode()


def read(text: str | None) -> Access:
    """Of the store's text."""
    return Access() if text is None else msgspec.json.decode(text, type=Access)
