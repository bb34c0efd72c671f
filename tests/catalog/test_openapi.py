"""The OpenAPI document of each endpoint has fal's shape and says what the endpoint really takes."""

from __future__ import annotations

import json
import re

import pytest

from laterna.catalog.catalog import Catalog
from laterna.catalog.openapi import endpoint_openapi, schema_name

CATALOG = Catalog.load(None)
ENDPOINTS = [end.id(card) for card in CATALOG.cards() for end in card.endpoints]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_document_is_whole(name: str) -> None:
    document = endpoint_openapi(*CATALOG.endpoint(name), queue_url="https://q", site_url="https://s")
    assert (document["openapi"], document["servers"]) == ("3.0.4", [{"url": "https://q"}])
    assert document["info"]["x-fal-metadata"]["endpointId"] == name
    one = f"/{name}/requests/{{request_id}}"
    assert set(document["paths"]) == {f"/{name}", one, f"{one}/status", f"{one}/cancel"}
    text = json.dumps(document)
    for ref in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text):
        assert ref in document["components"]["schemas"]
    assert "$defs" not in text
    assert "oneOf" not in text


def test_the_input_is_the_cards() -> None:
    document = endpoint_openapi(*CATALOG.endpoint("fal-ai/flux/schnell"), queue_url="https://q", site_url="https://s")
    schema = document["components"]["schemas"]["FluxSchnellInput"]
    assert schema["x-fal-order-properties"] == list(schema["properties"])
    assert schema["required"] == ["prompt"]
    steps = schema["properties"]["num_inference_steps"]
    assert (steps["default"], steps["minimum"], steps["maximum"]) == (4, 1, 12)
    kinds = schema["properties"]["image_size"]["anyOf"]
    assert {"$ref": "#/components/schemas/ImageSize"} in kinds
    body = document["paths"]["/fal-ai/flux/schnell"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/FluxSchnellInput"}
    assert "Image" in document["components"]["schemas"]


@pytest.mark.parametrize(("name", "expected"), [("fal-ai/flux/dev", "FluxDev"), ("fal-ai/fast-sdxl", "FastSdxl")])
def test_schema_names(name: str, expected: str) -> None:
    assert schema_name(name) == expected
