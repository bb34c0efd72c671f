"""Rows for people: columns as wide as they need, numbers to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """With a heading of the first row's names."""
    if not rows:
        return ""
    right = {name for name, value in rows[0].items() if isinstance(value, int | float) and not isinstance(value, bool)}
    shown = [{name: name for name in rows[0]}, *({name: _said(row[name]) for name in rows[0]} for row in rows)]
    widths = {name: max(len(row[name]) for row in shown) for name in rows[0]}
    lines = (
        "  ".join(row[name].rjust(width) if name in right else row[name].ljust(width) for name, width in widths.items())
        for row in shown
    )
    return "\n".join(line.rstrip() for line in lines)


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".") or "0"
    return "-" if value is None else str(value)
