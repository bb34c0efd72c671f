"""A trace: who asks for what, when. Read from and written to CSV, so that it can be kept, edited and replayed.

Knows no model's inner name and no store: `resolve` is told how models are called where they run.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO

import msgspec

from laterna.contracts.generation import TextToImage, work_tokens
from laterna.errors import ConfigError
from laterna.simulation.device import Arrival

CLASSES = ("realtime", "normal", "low")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: a line of the CSV file, its fields the columns. Only `time_s` has no default."""

    time_s: float  # seconds since the trace begins
    tenant: str = "default"
    weight: float = 1.0  # its tenant's share against others'
    priority: str = "normal"  # one of CLASSES
    model: str = ""  # endpoint or model id; empty: the one that is simulated
    steps: int = 20
    width: int = 512  # pixels
    height: int = 512  # pixels
    cfg_scale: float = 1.0  # above 1 a step works twice
    count: int = 1  # pictures
    finish_within_s: float | None = None  # deadline, from its time; absent: none


SURPLUS = ""  # where the reader puts values without a column
COLUMNS = tuple(field.name for field in fields(Asked))
_LIMITS = {"time_s": 0.0, "weight": 1e-9, "steps": 1, "width": 1, "height": 1, "count": 1, "finish_within_s": 0.0}


def read_trace(path: Path, like: Asked) -> list[Asked]:
    """The lines of a CSV file, by their times. `like`: for columns that are absent or empty.

    Raises ConfigError naming line, column and value.
    """
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines, restkey=SURPLUS)
        unknown = set(reader.fieldnames or ()) - set(COLUMNS)
        if unknown or "time_s" not in (reader.fieldnames or ()):
            wrong = f"unknown columns {sorted(unknown)}" if unknown else "no column time_s"
            raise ConfigError(f"{path}: {wrong}; a trace has {', '.join(COLUMNS)}")
        found = [_asked(f"{path}, line {reader.line_num}", row, like) for row in reader]
    if not found:
        raise ConfigError(f"{path}: no requests in it")
    return sorted(found, key=lambda one: one.time_s)


def write_trace(lines: TextIO, asked: Iterable[Asked]) -> None:
    """CSV, in the order given."""
    writer = csv.writer(lines)
    writer.writerow(COLUMNS)
    for one in asked:
        writer.writerow(["" if (value := getattr(one, name)) is None else value for name in COLUMNS])


def arrivals(asked: Sequence[Asked], name_of: Callable[[str], str]) -> list[Arrival]:
    """For the devices. `name_of`: a model's name in their costs, by its id."""
    return [
        Arrival(
            id=str(number),
            at_s=one.time_s,
            model=name_of(one.model),
            tokens=_tokens(one),
            steps=one.steps,
            samples=one.count,
            tenant=one.tenant,
            weight=one.weight,
            priority=CLASSES.index(one.priority),
            finish_within_s=one.finish_within_s,
        )
        for number, one in enumerate(asked)
    ]


def _tokens(one: Asked) -> int:
    return work_tokens(
        TextToImage(
            prompt="",
            sampler="",
            seed=0,
            width=one.width,
            height=one.height,
            steps=one.steps,
            cfg_scale=one.cfg_scale,
        )
    )


def _asked(where: str, row: dict[str, Any], like: Asked) -> Asked:
    surplus = row.pop(SURPLUS, None)
    if surplus:
        raise ConfigError(f"{where}: {len(surplus)} values too many; columns are {', '.join(COLUMNS)}")
    given = {name: text for name, text in row.items() if text not in ("", None)}
    if "time_s" not in given:
        raise ConfigError(f"{where}: time_s is empty; give the seconds since the trace begins")
    try:
        partial = {name: msgspec.convert(text, _TYPES[name], strict=False) for name, text in given.items()}
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}; columns are {', '.join(COLUMNS)}") from error
    found = replace(like, **partial)
    for name, least in _LIMITS.items():
        value = getattr(found, name)
        if value is not None and not value >= least:
            raise ConfigError(f"{where}: {name} = {value!r}: must be at least {least:g}")
    if found.priority not in CLASSES:
        raise ConfigError(f"{where}: priority = {found.priority!r}: expected one of {', '.join(CLASSES)}")
    return found


_TYPES: dict[str, Any] = {
    "time_s": float,
    "tenant": str,
    "weight": float,
    "priority": str,
    "model": str,
    "steps": int,
    "width": int,
    "height": int,
    "cfg_scale": float,
    "count": int,
    "finish_within_s": float | None,
}
