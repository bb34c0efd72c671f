"""Reads one card from TOML, strictly: an unknown key, a missing one or a bad value is a ConfigError that names it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laterna.catalog.card import PRICE_UNITS, Card, Endpoint, Price, Solo
from laterna.contracts.contract import get_contract
from laterna.contracts.traits import TRAITS, family_names
from laterna.errors import ConfigError

# First segments of paths that the server keeps for itself; a model there could not be called.
RESERVED = ("api", "cdn", "files", "health", "openai", "platform", "queue", "ready", "replicate", "requests", "rest")
CARD_ID = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)+")
ENDPOINT_PATH = re.compile(r"([a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*)?")
WEIGHTS = re.compile(r"builtin:[a-z0-9_-]+|path:.+|hub:[\w.-]+/[\w.-]+(@[\w./-]+)?")
CURRENCY = re.compile(r"[A-Z]{3}")
_ABSENT: Any = object()


class Table:
    """One table of a card's file: values are taken out by name and type, and nothing may be left."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self._path = path
        self._values = dict(values)
        self._prefix = prefix

    def take(self, key: str, kind: type, default: Any = _ABSENT, *, like: re.Pattern[str] | None = None) -> Any:
        value = self._values.pop(key, default)
        if value is _ABSENT:
            raise ConfigError(f"{self._path}: {self._prefix}{key} is missing; expected a {_word(kind)}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, value, f"expected a {_word(kind)}")
        if like is not None and not like.fullmatch(str(value)):
            raise self.wrong(key, value, f"expected it to match {like.pattern}")
        return value

    def table(self, key: str) -> Table:
        return Table(self._path, self.take(key, dict, {}), f"{self._prefix}{key}.")

    def tables(self, key: str) -> list[Table]:
        items = self.take(key, list)
        if not items or not all(isinstance(item, dict) for item in items):
            raise self.wrong(key, items, f"expected at least one [[{key}]]")
        return [Table(self._path, item, f"{self._prefix}{key}[{number}].") for number, item in enumerate(items)]

    def rest(self) -> dict[str, Any]:
        values, self._values = self._values, {}
        return values

    @property
    def empty(self) -> bool:
        return not self._values

    def close(self, known: tuple[str, ...]) -> None:
        for key in self._values:
            raise ConfigError(f"{self._path}: unknown key {self._prefix}{key}; known: {', '.join(sorted(known))}")

    def wrong(self, key: str, value: object, why: str) -> ConfigError:
        return ConfigError(f"{self._path}: {self._prefix}{key} = {value!r}: {why}")


def read_card(path: Path) -> Card:
    """The card in a file. Raises ConfigError naming the file, the key, the value and the way out."""
    try:
        table = Table(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from error
    settings, family = _settings(table), _family(table)
    card = Card(
        id=_card_id(table),
        name=table.take("name", str),
        description=table.take("description", str, ""),
        family=family,
        weights=_weights(table, path),
        revision=table.take("revision", str),
        licence=table.take("licence", str),
        licence_url=table.take("licence_url", str, ""),
        commercial=table.take("commercial", bool, True),
        tags=tuple(str(tag) for tag in table.take("tags", list, [])),
        resident_bytes=_positive(table, "resident_bytes"),
        settings=settings,
        price=_price(table.table("price")),
        endpoints=tuple(_endpoint(item, settings, family) for item in table.tables("endpoints")),
    )
    table.close(tuple(Card.__dataclass_fields__))
    still = next((end.category for end in card.endpoints if "image" in end.category), None)
    if card.price.unit == "second" and still is not None:
        raise table.wrong("price.unit", "second", f"what {still} makes lasts no time; expected image or megapixel")
    return card


def _card_id(table: Table) -> str:
    found: str = table.take("id", str, like=CARD_ID)
    if found.split("/")[0] in RESERVED:
        raise table.wrong("id", found, f"the owner may not be one of {', '.join(RESERVED)}, which the server uses")
    if "requests" in found.split("/"):
        raise table.wrong("id", found, "no segment may be 'requests': the queue uses it")
    return found


def _family(table: Table) -> str:
    found: str = table.take("family", str)
    if found not in TRAITS and found not in family_names():
        raise table.wrong("family", found, f"expected one of {', '.join(family_names())}")
    return found


def _weights(table: Table, path: Path) -> str:
    found: str = table.take("weights", str, like=WEIGHTS)
    kind, _, place = found.partition(":")
    return f"path:{(path.parent / place).resolve()}" if kind == "path" else found


def _settings(table: Table) -> dict[str, Any]:
    inner = table.table("settings")
    values = inner.rest()
    for key, value in values.items():
        if not isinstance(value, str | int | float | bool):
            raise inner.wrong(key, value, "expected a text, a number or true or false")
    return values


def _positive(table: Table, key: str) -> int:
    value: int = table.take(key, int)
    if value <= 0:
        raise table.wrong(key, value, "must be above 0")
    return value


def _price(table: Table) -> Price:
    price = Price(
        unit=table.take("unit", str, "image"),
        nano=table.take("nano", int, 0),
        currency=table.take("currency", str, "USD", like=CURRENCY),
        solo=_solo(table.table("solo")),
    )
    if price.unit not in PRICE_UNITS:
        raise table.wrong("unit", price.unit, f"expected one of {', '.join(PRICE_UNITS)}")
    if price.nano < 0:
        raise table.wrong("nano", price.nano, "must be at least 0")
    if (price.unit == "device_second") != (price.solo is not None):
        raise table.wrong("unit", price.unit, "device_second needs [price.solo], and no other unit takes it")
    table.close(("unit", "nano", "currency", "solo"))
    return price


def _solo(table: Table) -> Solo | None:
    if table.empty:
        return None
    solo = Solo(
        image_us=table.take("image_us", int, 0),
        megapixel_step_us=_positive(table, "megapixel_step_us"),
    )
    if solo.image_us < 0:
        raise table.wrong("image_us", solo.image_us, "must be at least 0")
    table.close(("image_us", "megapixel_step_us"))
    return solo


def _endpoint(table: Table, settings: Mapping[str, Any], family: str) -> Endpoint:
    name = table.take("contract", str)
    fields = table.take("fields", dict, {})
    try:
        contract = get_contract(name).narrow(fields, settings, family)
    except (ValueError, TypeError) as error:
        raise table.wrong("contract", name, str(error)) from error
    endpoint = Endpoint(
        path=table.take("path", str, "", like=ENDPOINT_PATH),
        category=table.take("category", str),
        contract=contract,
    )
    table.close(("path", "category", "contract", "fields"))
    return endpoint


def _word(kind: type) -> str:
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "table", list: "list"}
    return words[kind]
