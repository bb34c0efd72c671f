"""One endpoint as cog describes a predictor: the `openapi_schema` of a version, which Replicate's tools read.

Inputs have an order, choices are types of their own, outputs are addresses of files. Source: cog's
`cog/server/http.py` and the published schemas of its predictors.
"""

from __future__ import annotations

from typing import Any

from laterna.catalog.card import Endpoint
from laterna.catalog.openapi import REF, schemas

COG_VERSION = "0.16.12"  # whose form this is
_STATUS = ["starting", "processing", "succeeded", "canceled", "failed"]


def cog_schema(endpoint: Endpoint, title: str) -> dict[str, Any]:
    """The document. `title` is the model's name."""
    found = schemas({endpoint.contract.input: "Input"})
    for schema in found.values():
        schema.pop("x-fal-order-properties", None)
    found["Input"] = _input(found)
    return {
        "openapi": "3.0.2",
        "info": {"title": title, "version": "0.1.0"},
        "paths": {"/predictions": _run()},
        "components": {"schemas": {**found, "Output": output_schema(endpoint), **_prediction()}},
    }


def makes_several(endpoint: Endpoint) -> bool:
    """Whether its output is a list of files; else it is one file."""
    return "images" in endpoint.contract.output.model_fields


def output_schema(endpoint: Endpoint) -> dict[str, Any]:
    """What the output of a prediction looks like: one address or several."""
    file = {"type": "string", "format": "uri"}
    return {"title": "Output", **({"type": "array", "items": file} if makes_several(endpoint) else file)}


def _input(found: dict[str, Any]) -> dict[str, Any]:
    """The input, in order; its choices are put beside it."""
    fields = {}
    for order, (name, field) in enumerate(found["Input"]["properties"].items()):
        field = _nullable(field)
        if "enum" in field:
            choices = {"enum": field.pop("enum"), "type": field.pop("type"), "description": "An enumeration."}
            found[name] = {"title": name, **choices}
            field["allOf"] = [{"$ref": REF + name}]
        elif "$ref" in field:
            field["allOf"] = [{"$ref": field.pop("$ref")}]
        fields[name] = {**field, "x-order": order}
    return {**found["Input"], "title": "Input", "properties": fields}


def _nullable(field: dict[str, Any]) -> dict[str, Any]:
    """A field that may be null, as OpenAPI 3.0 says it."""
    kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return dict(field)
    return {**{key: value for key, value in field.items() if key != "anyOf"}, **kinds[0], "nullable": True}


def _run() -> dict[str, Any]:
    def content(name: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": REF + name}}}}

    answer = {"200": {"description": "Successful Response", **content("PredictionResponse")}}
    return {"post": {"summary": "Predict", "requestBody": content("PredictionRequest"), "responses": answer}}


def _prediction() -> dict[str, Any]:
    asked = {"title": "PredictionRequest", "type": "object", "properties": {"input": {"$ref": REF + "Input"}}}
    told = {
        "input": {"$ref": REF + "Input"},
        "output": {"$ref": REF + "Output"},
        "status": {"$ref": REF + "Status"},
        "error": {"title": "Error", "type": "string"},
        "logs": {"title": "Logs", "type": "string", "default": ""},
    }
    return {
        "Status": {"title": "Status", "description": "An enumeration.", "type": "string", "enum": _STATUS},
        "PredictionRequest": asked,
        "PredictionResponse": {"title": "PredictionResponse", "type": "object", "properties": told},
    }
