"""`laterna models`: what can be generated here, from the cards alone; needs no server and no torch."""

from __future__ import annotations

import json

from laterna.catalog.catalog import Catalog
from laterna.config import Settings


def models(settings: Settings, *, as_json: bool) -> None:
    """Print every endpoint with its model, licence and price."""
    catalog = Catalog.load(settings.cards_folder)
    rows = [
        {
            "endpoint": endpoint.id(card),
            "name": card.name,
            "category": endpoint.category,
            "weights": card.source,
            "licence": card.licence,
            "price": f"{card.price.nano / 1e9:g} {card.price.currency}/{card.price.unit}",
        }
        for card in catalog.cards()
        for endpoint in card.endpoints
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = [{name: name for name in rows[0]}, *rows]
    widths = {name: max(len(row[name]) for row in shown) for name in rows[0]}
    for row in shown:
        print("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())
