"""The things that can be drawn: `subjects.txt` joined to emojibase's labels in English and Dutch.

Refuses a line whose label emojibase does not have. `art` finds their pictures, `captions` speaks of them.
"""

from dataclasses import dataclass
from pathlib import Path

from zoo.sprite import packages

WRITTEN = {"stop sign", "1st place medal", "pool 8 ball", "calendar"}  # their mirror images read wrong


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One thing that can be drawn."""

    label: str  # emojibase's English label
    code: str  # its code points, lower case hexadecimal, as emojibase writes them
    names: tuple[str, ...]  # what English captions call it, commonest first
    dutch: tuple[str, ...]  # what Dutch captions call it, commonest first
    flips: bool  # whether its mirror image is as good


def read(folder: Path) -> tuple[Subject, ...]:
    """Every subject, in the file's order; ValueError for a label that emojibase does not have."""
    english, dutch = (
        packages.document(folder / packages.CAPTIONS, f"package/{language}/data.json") for language in ("en", "nl")
    )
    codes = {entry["label"]: entry["hexcode"] for entry in english}
    spoken = {entry["hexcode"]: entry["label"].lower() for entry in dutch}
    return tuple(_subject(line, codes, spoken) for line in lines())


def lines() -> list[str]:
    """The lines of `subjects.txt` that name a subject."""
    text = (Path(__file__).parent / "subjects.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _subject(line: str, codes: dict[str, str], spoken: dict[str, str]) -> Subject:
    label, *names = (part.strip() for part in line.split("="))
    if label not in codes:
        raise ValueError(f"subjects.txt: emojibase has no label {label!r}; correct it or delete the line")
    english, dutch = (names[0], names[1]) if len(names) > 1 else (names[0], spoken[codes[label]])
    return Subject(
        label=label,
        code=codes[label].lower(),
        names=_names(english),
        dutch=_names(dutch),
        flips=label not in WRITTEN,
    )


def _names(part: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in part.split("|"))
