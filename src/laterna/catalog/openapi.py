"""The OpenAPI 3.0.4 document of one endpoint, in the shape that fal publishes and that its tools read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from laterna.catalog.card import Card, Endpoint

REF = "#/components/schemas/"
_REQUEST_ID = {
    "name": "request_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "description": "Request ID"},
}
_LOGS = {
    "name": "logs",
    "in": "query",
    "required": False,
    "schema": {"type": "number", "description": "Whether to include logs (`1`) in the response or not (`0`)."},
}
QUEUE_STATUS = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]},
        "request_id": {"type": "string", "description": "The request id."},
        "response_url": {"type": "string", "description": "The response url."},
        "status_url": {"type": "string", "description": "The status url."},
        "cancel_url": {"type": "string", "description": "The cancel url."},
        "logs": {"type": "object", "description": "The logs.", "additionalProperties": True},
        "metrics": {"type": "object", "description": "The metrics.", "additionalProperties": True},
        "queue_position": {"type": "integer", "description": "The queue position."},
    },
    "required": ["status", "request_id"],
}


def endpoint_openapi(card: Card, endpoint: Endpoint, *, queue_url: str, site_url: str) -> dict[str, Any]:
    """The document.

    Args:
        queue_url: where the endpoint's queue is served, without a trailing slash.
        site_url: this server's own address, likewise.
    """
    name = endpoint.id(card)
    names = {
        endpoint.contract.input: f"{schema_name(name)}Input",
        endpoint.contract.output: f"{schema_name(name)}Output",
    }
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {name}",
            "version": "1.0.0",
            "description": f"The OpenAPI schema for the {name} queue.",
            "x-fal-metadata": {
                "endpointId": name,
                "category": endpoint.category,
                "thumbnailUrl": "",
                "playgroundUrl": f"{site_url}/models/{name}",
                "documentationUrl": f"{site_url}/models/{name}/api",
            },
        },
        "components": {
            "securitySchemes": {
                "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Fal Key"}
            },
            "schemas": {"QueueStatus": QUEUE_STATUS, **schemas(names)},
        },
        "paths": dict(_paths(name, *names.values())),
        "servers": [{"url": queue_url}],
        "security": [{"apiKeyAuth": []}],
    }


def schema_name(endpoint_id: str) -> str:
    """`fal-ai/flux/dev` is `FluxDev`: the id without its owner, in camel case."""
    words = re.split(r"[^a-zA-Z0-9]+", endpoint_id.partition("/")[2])
    return "".join(word[:1].upper() + word[1:] for word in words)


def schemas(names: Mapping[type[BaseModel], str]) -> dict[str, Any]:
    """The models and what they refer to, under their names, in OpenAPI 3.0's dialect."""
    found, definitions = models_json_schema(
        [(model, "validation") for model in names], ref_template=REF + "{model}", by_alias=True
    )
    own = {found[model, "validation"]["$ref"].removeprefix(REF): name for model, name in names.items()}
    schemas: dict[str, Any] = definitions["$defs"]
    return {own.get(key, key): _ordered(_dialect(schema, own)) for key, schema in schemas.items()}


def _dialect(schema: Any, renamed: Mapping[str, str]) -> Any:
    """JSON Schema 2020-12 as pydantic writes it, as fal does: no `oneOf`, no `const`, no null defaults."""
    if isinstance(schema, list):
        return [_dialect(item, renamed) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _dialect(value, renamed) for key, value in schema.items() if key not in ("oneOf", "const")}
    if "oneOf" in schema:
        made["anyOf"] = _dialect(schema["oneOf"], renamed)
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if made.get("default", ...) is None:
        del made["default"]
    if isinstance(ref := made.get("$ref"), str):
        target = ref.removeprefix(REF)
        made["$ref"] = REF + renamed.get(target, target)
    return made


def _ordered(schema: dict[str, Any]) -> dict[str, Any]:
    return {"x-fal-order-properties": list(schema["properties"]), **schema} if "properties" in schema else schema


def _paths(name: str, input_name: str, output_name: str) -> Iterator[tuple[str, Any]]:
    one = f"/{name}/requests/{{request_id}}"
    status = _answer("The request status.", {"$ref": REF + "QueueStatus"})
    yield f"{one}/status", {"get": {"parameters": [_REQUEST_ID, _LOGS], "responses": status}}
    success = {"success": {"type": "boolean", "description": "Whether the request was cancelled successfully."}}
    cancelled = _answer("The request was cancelled.", {"type": "object", "properties": success})
    yield f"{one}/cancel", {"put": {"parameters": [_REQUEST_ID], "responses": cancelled}}
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": REF + input_name}}}}
    yield f"/{name}", {"post": {"requestBody": body, "responses": status}}
    result = _answer("Result of the request.", {"$ref": REF + output_name})
    yield one, {"get": {"parameters": [_REQUEST_ID], "responses": result}}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": description, "content": {"application/json": {"schema": schema}}}}
