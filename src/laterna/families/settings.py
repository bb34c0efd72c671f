"""A card's settings as a family reads them."""

from __future__ import annotations

from laterna.contracts.generation import ModelRef
from laterna.errors import ConfigError


def integer_setting(ref: ModelRef, name: str, default: int) -> int:
    """A whole number above 0. Raises ConfigError naming setting and value."""
    value = ref.settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"settings.{name} of {ref.id!r}: {value!r} is not a whole number above 0")
    return value


def number_setting(ref: ModelRef, name: str, default: float) -> float:
    """A number, 0 or more. Raises ConfigError naming setting and value."""
    value = ref.settings.get(name, default)
    if isinstance(value, bool | str) or not 0 <= value < float("inf"):
        raise ConfigError(f"settings.{name} of {ref.id!r}: {value!r} is not a number, 0 or more")
    return float(value)
