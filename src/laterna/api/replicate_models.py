"""The catalogue in Replicate's words: an endpoint is a model, owner and name; a revision of its weights is a version.

A name has no slash there: `fal-ai/flux/dev` is `fal-ai/flux-dev`. Where two endpoints would have one name, the shorter
id has it, and the other is called by its version.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from laterna.catalog.card import Card, Endpoint
from laterna.catalog.catalog import Catalog
from laterna.catalog.cog import COG_VERSION, cog_schema
from laterna.errors import EndpointNotFound

UNDATED = datetime.fromtimestamp(0, UTC).isoformat()  # cards do not say when a version was made
Found = tuple[Card, Endpoint]


def name_of(endpoint_id: str) -> str:
    """The model's owner and name."""
    owner, _, path = endpoint_id.partition("/")
    return f"{owner}/{path.replace('/', '-')}"


def version_of(endpoint_id: str, revision: str) -> str:
    """The version's id: 64 hexadecimal digits, as Replicate's are."""
    return hashlib.sha256(f"{endpoint_id}@{revision}".encode()).hexdigest()


class Models:
    """Endpoints by their names and versions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        every = [(card, end) for card in catalog.cards() for end in card.endpoints]
        self._names: dict[str, Found] = {}
        for found in sorted(every, key=lambda one: len(one[1].id(one[0]))):
            self._names.setdefault(name_of(found[1].id(found[0])), found)
        self._versions = {version_of(end.id(card), card.revision): (card, end) for card, end in every}

    def named(self, name: str) -> Found:
        """By owner and name, or by the endpoint's own id. Raises EndpointNotFound."""
        return self._names[name] if name in self._names else self._catalog.endpoint(name)

    def version(self, text: str, name: str | None = None) -> Found:
        """By a version's id, or what Replicate takes in its place: `owner/name` or `owner/name:id`.

        Raises EndpointNotFound for what is none, and for another model's where a name is given.
        """
        before, colon, version = text.rpartition(":")
        if "/" in version and not colon:
            return self.named(text)
        found = self._versions.get(version)
        wanted = before or name
        if found is None or (wanted and self.named(wanted) != found):
            whose = f" of {wanted!r}" if wanted else ""
            raise EndpointNotFound(
                f"no version {version[:80]!r}{whose} here; GET /replicate/v1/models lists what there is"
            )
        return found

    def matching(self, text: str) -> list[Found]:
        """Those in whose names and descriptions every word occurs."""
        words = text.lower().split()
        return [found for found in self._versions.values() if all(word in _words(*found) for word in words)]


def model_body(card: Card, endpoint: Endpoint, site: str) -> dict[str, Any]:
    """A model, with its only version."""
    name = name_of(endpoint.id(card))
    owner, _, short = name.partition("/")
    return {
        "url": f"{site}/{endpoint.id(card)}",
        "owner": owner,
        "name": short,
        "description": card.description or card.name,
        "visibility": "public",
        "github_url": None,
        "paper_url": None,
        "license_url": card.licence_url or None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": version_body(card, endpoint),
    }


def version_body(card: Card, endpoint: Endpoint) -> dict[str, Any]:
    """A version, with the schema of its input and output."""
    return {
        "id": version_of(endpoint.id(card), card.revision),
        "created_at": UNDATED,
        "cog_version": COG_VERSION,
        "openapi_schema": cog_schema(endpoint, name_of(endpoint.id(card))),
    }


def _words(card: Card, endpoint: Endpoint) -> str:
    return " ".join((endpoint.id(card), card.name, card.description, endpoint.category, *card.tags)).lower()
