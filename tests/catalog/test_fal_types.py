"""The cards that carry fal's ids take every field of fal's own types, by the same names, needs, choices and defaults.

The types are those of the installed JavaScript client. They are shared between endpoints of one shape, so that a few
defaults are another endpoint's: those are listed here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from laterna.catalog.catalog import Catalog
from laterna.catalog.openapi import endpoint_openapi, schema_name
from tests.tools import node_folder

TYPES = "node_modules/@fal-ai/client/src/types/endpoints.d.ts"
FAL = ("fal-ai/fast-sdxl", "fal-ai/flux/dev", "fal-ai/flux/schnell", "fal-ai/stable-diffusion-v15")
ANOTHERS = {("fal-ai/flux/schnell", "num_inference_steps"), ("fal-ai/stable-diffusion-v15", "image_size")}
FIELD = re.compile(r"/\*\*(?P<about>(?:(?!\*/).)*)\*/\s+(?P<name>\w+)(?P<may>\??): (?P<type>[^;]+);", re.DOTALL)
DEFAULT = re.compile(r"Default value: `(?P<value>[^`]*)`")


@dataclass(frozen=True, kw_only=True)
class Field:
    required: bool
    choices: set[str]  # texts that it may be; empty where it is no choice
    default: Any  # None where the types say nothing


def fields_of(name: str, text: str) -> dict[str, Field]:
    """The fields of a type, through the names that only stand for another."""
    while alias := re.search(rf"^export type {name} = (\w+);", text, re.MULTILINE):
        name = alias[1]
    body = re.search(rf"^export type {name} = {{\n(.*?)^}};", text, re.MULTILINE | re.DOTALL)
    assert body, name
    return {found["name"]: _field(found) for found in FIELD.finditer(body[1])}


def _field(found: re.Match[str]) -> Field:
    default = DEFAULT.search(found["about"])
    return Field(
        required=not found["may"],
        choices=set(re.findall(r'"([^"]*)"', found["type"])),
        default=None if default is None else _value(default["value"]),
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def choices_of(schema: dict[str, Any]) -> set[str]:
    return {choice for part in (schema, *schema.get("anyOf", [])) for choice in part.get("enum", [])}


@pytest.mark.parametrize("endpoint", FAL)
def test_inputs_are_fals(endpoint: str) -> None:
    text = (node_folder() / TYPES).read_text()
    theirs = fields_of(f"{schema_name(endpoint)}Input", text)
    assert {"prompt", "image_size", "seed"} <= set(theirs)
    document = endpoint_openapi(*Catalog.load(None).endpoint(endpoint), queue_url="https://q", site_url="https://s")
    ours = document["components"]["schemas"][f"{schema_name(endpoint)}Input"]
    for name, field in theirs.items():
        assert name in ours["properties"], name
        mine = ours["properties"][name]
        assert (name in ours["required"]) == field.required, name
        assert choices_of(mine) == field.choices, name
        if field.default is not None and (endpoint, name) not in ANOTHERS:
            assert mine["default"] == field.default, name


@pytest.mark.parametrize("endpoint", FAL)
def test_outputs_are_fals(endpoint: str) -> None:
    text = (node_folder() / TYPES).read_text()
    document = endpoint_openapi(*Catalog.load(None).endpoint(endpoint), queue_url="https://q", site_url="https://s")
    schemas = document["components"]["schemas"]
    assert set(fields_of(f"{schema_name(endpoint)}Output", text)) == set(
        schemas[f"{schema_name(endpoint)}Output"]["properties"]
    )
    assert set(schemas["Image"]["properties"]) <= set(fields_of("Image", text))
