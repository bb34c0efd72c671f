"""`laterna models`: what can be generated here, from the cards alone; needs no server and no torch."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

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
            "weights": card.weights,
            "licence": card.licence,
            "price": f"{card.price.nano / 1e9:g} {card.price.currency}/{card.price.unit}",
        }
        for card in catalog.cards()
        for endpoint in card.endpoints
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(*(name for name in rows[0]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    Console(soft_wrap=True).print(table)
