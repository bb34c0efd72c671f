"""One endpoint told to a coding assistant: every field of its input and output, and a call that works as it stands.

Made from the endpoint's own JSON schema, so that it says what the server checks. Neighbour: `llms`, the overview.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from laterna.api.hosts import Origin
from laterna.billing.invoices import decimal
from laterna.catalog.card import Card, Endpoint
from laterna.catalog.openapi import REF, endpoint_openapi

EXAMPLES = {"prompt": "a red fox on a teal background"}  # of fields whose schema has none
PICTURE = "https://example.com/picture.png"
TEXT = """\
# {name}

> {description}

- Endpoint: `{id}` ({category})
- Price: {price}
- Licence: {licence}
- OpenAPI: {site}/api/openapi/queue/openapi.json?endpoint_id={id}
- How to reach this server with a client: {site}/llms.txt

## Call

```python
import fal_client  # run by: laterna exec -- python app.py

result = fal_client.subscribe("{id}", {input})
print(result)
```

```sh
curl {site}/{id} -H "Authorization: Key $FAL_KEY" -H "Content-Type: application/json" -d '{shell_input}'
```

To queue it instead of waiting: `POST {queue}/{id}` with the same body.

## Input

{asked}

## Output

{answered}
"""


def address_of(endpoint_id: str, site: str) -> str:
    """Where its text is."""
    return f"{site}/models/{endpoint_id}/llms.txt"


def model_text(card: Card, endpoint: Endpoint, origin: Origin) -> str:
    name = endpoint.id(card)
    document = endpoint_openapi(card, endpoint, queue_url=origin.queue, site_url=origin.site)
    schemas = document["components"]["schemas"]
    asked, answered = (
        next(schema for title, schema in schemas.items() if title.endswith(end)) for end in ("Input", "Output")
    )
    sent = json.dumps(_example(asked))
    return TEXT.format(
        name=card.name,
        description=card.description or card.name,
        id=name,
        category=endpoint.category,
        price=_price(card),
        licence=f"{card.licence} {card.licence_url}".strip() + ("" if card.commercial else " (research only)"),
        site=origin.site,
        queue=origin.queue,
        input=sent,
        shell_input=sent.replace("'", r"'\''"),
        asked=_fields(asked, schemas),
        answered=_fields(answered, schemas),
    )


def _price(card: Card) -> str:
    price = card.price
    return f"{decimal(price.nano)} {price.currency} for each {price.unit.replace('_', ' ')}" if price.nano else "free"


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that must be given."""
    fields = schema["properties"]
    return {
        name: (fields[name].get("examples") or [EXAMPLES.get(name, PICTURE)])[0] for name in schema.get("required", ())
    }


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    lines = []
    for name, field in schema["properties"].items():
        facts = [_type(field, schemas), *_bounds(field)]
        if name in required:
            facts.append("required")
        elif field.get("default") is not None:
            facts.append(f"default `{json.dumps(field['default'])}`")
        lines.append(f"- `{name}` ({', '.join(facts)}): {field.get('description', '')}".rstrip(": "))
    return "\n".join(lines)


def _type(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """In words; what a reference names is said by its own fields."""
    if "$ref" in field:
        found = schemas[field["$ref"].removeprefix(REF)]
        if "properties" in found:
            parts = ", ".join(f"{name}: {_type(part, schemas)}" for name, part in found["properties"].items())
            return f"{{{parts}}}"
        return _type(found, schemas)
    if "anyOf" in field or "allOf" in field:
        options = [_type(one, schemas) for one in (field.get("anyOf") or field["allOf"])]
        return " or ".join(one for one in dict.fromkeys(options) if one != "null")
    if "enum" in field:
        return " | ".join(json.dumps(one) for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), schemas)}"
    return str(field.get("type", "any"))


def _bounds(field: Mapping[str, Any]) -> list[str]:
    options = [field, *field.get("anyOf", ())]
    found = []
    for name, words in (
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("maxItems", "at most"),
        ("maxLength", "up to"),
    ):
        value = next((one[name] for one in options if name in one), None)
        if value is not None:
            unit = {"maxItems": " items", "maxLength": " characters"}.get(name, "")
            found.append(f"{words} {value}{unit}")
    return found
