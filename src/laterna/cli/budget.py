"""`laterna budget`: a tenant's credit and limits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from laterna.cli.client import Client, connect
from laterna.cli.table import table
from laterna.config import Settings

BASE = "/platform/v1/account"
NONE = "none"  # takes a limit away


def budget(
    settings: Settings,
    tenant: str | None,
    *,
    add: str | None,
    note: str,
    limits: Mapping[str, Any],
    currency: str,
    as_json: bool,
) -> None:
    """Change what is asked for, then print how it stands.

    Args:
        limits: what the API calls them; those that are None stay as they are.
    """
    client, query = connect(settings), urlencode({"tenant_id": tenant} if tenant else {})
    if any(value is not None for value in limits.values()):
        client.send("PUT", f"{BASE}/limits?{query}", _limits(client, query, limits, currency))
    if add is not None:
        body = {"amount": add, "currency": currency, "note": note}
        client.send("POST", f"{BASE}/credits?{query}", body, once=str(uuid.uuid4()))
    purses = client.get(f"{BASE}/billing?{query}")["purses"]
    if as_json:
        print(json.dumps(purses, indent=2))
    else:
        print(table(purses) or "no charge, no credit and no limit yet")


def _limits(client: Client, query: str, limits: Mapping[str, Any], currency: str) -> dict[str, Any]:
    purses = client.get(f"{BASE}/billing?{query}")["purses"]
    present: dict[str, Any] = next((purse for purse in purses if purse["currency"] == currency), {})
    said = {name: present.get(name) if value is None else value for name, value in limits.items()}
    kept = {name: None if value == NONE else value for name, value in said.items()}
    return {**kept, "prepaid": bool(kept["prepaid"]), "currency": currency}
