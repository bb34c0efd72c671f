"""The catalogue: every card that this server knows, the built-in ones and those in the operator's folder."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from laterna.catalog.card import Card, Endpoint
from laterna.catalog.endpoint_id import parse_endpoint_id
from laterna.catalog.reading import read_card
from laterna.errors import ConfigError, EndpointNotFound

BUILT_IN = Path(__file__).parent / "cards"


class Catalog:
    """Cards by id and endpoints by id; unchanging once loaded."""

    def __init__(self, cards: Iterable[Card]) -> None:
        self._cards = {card.id: card for card in cards}
        self._endpoints = {end.id(card): (card, end) for card in self._cards.values() for end in card.endpoints}

    @classmethod
    def load(cls, folder: Path | None) -> Catalog:
        """Every `*.toml` below the folder, where there is one, and the built-in cards whose ids those do not take.

        Raises ConfigError for a file that is no card, and for an id that two files claim.
        """
        own = sorted(folder.rglob("*.toml")) if folder is not None and folder.is_dir() else []
        cards: dict[str, Card] = {}
        claimed: dict[str, Path] = {}
        for file in (*own, *sorted(BUILT_IN.glob("*.toml"))):
            card = read_card(file)
            if card.id in cards and file.parent == BUILT_IN:
                continue
            if card.id in cards:
                raise ConfigError(f"{file}: id = {card.id!r} is already in another file; choose another id")
            for name in (end.id(card) for end in card.endpoints):
                if name in claimed:
                    raise ConfigError(f"{file}: endpoint {name!r} is already in {claimed[name]}; choose another id")
                claimed[name] = file
            cards[card.id] = card
        return cls(cards.values())

    def cards(self) -> tuple[Card, ...]:
        """All cards, by id."""
        return tuple(sorted(self._cards.values(), key=lambda card: card.id))

    def card(self, card_id: str) -> Card:
        """Raises EndpointNotFound for an id that is no card's."""
        if card_id not in self._cards:
            raise EndpointNotFound(f"no model {card_id!r} here{self._near(card_id)}")
        return self._cards[card_id]

    def endpoint(self, endpoint_id: str) -> tuple[Card, Endpoint]:
        """The endpoint that a client names. Raises EndpointNotFound, suggesting names that are near."""
        parsed = parse_endpoint_id(endpoint_id)
        name = parsed.full if parsed else endpoint_id
        if name not in self._endpoints:
            raise EndpointNotFound(f"no endpoint {name[:200]!r} here{self._near(name[:200])}")
        return self._endpoints[name]

    def _near(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._endpoints, n=3, cutoff=0.5)
        if near:
            return f"; did you mean {' or '.join(map(repr, near))}?"
        return "; `laterna models` and GET /platform/v1/models list what there is"
