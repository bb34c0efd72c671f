"""Every subject in every style, rendered in many places and sizes, once and for all, into one file.

Stored premultiplied (colour times coverage), so that laying a view over a background is one multiplication. `scenes`
draws from the bank; it knows no captions.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from zoo.sprite import art, colours, subjects

SIDE = 128  # px, of a picture
RIM = 4  # px that a picture stays off the edge
VIEWS = 12  # renderings of each picture alone; the odd ones are mirror images
HALVES = 6  # renderings of each picture beside another one, half as wide
PAINTED = 4  # renderings of each picture in other colours, the first four paints that it has not


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Every subject in every style: icon number = subject number * 3 + style number."""

    subjects: tuple[subjects.Subject, ...]
    own: tuple[str, ...]  # each icon's dominant colour, "" where it has none
    paints: tuple[tuple[str, ...], ...]  # colours of each icon's painted views, () where none could be made
    whole: torch.Tensor  # uint8 (icons, VIEWS, 4, 128, 128): premultiplied red, green, blue, and coverage
    half: torch.Tensor  # uint8 (icons, HALVES, 4, 128, 64)
    painted: torch.Tensor  # uint8 (icons, PAINTED, 4, 128, 128); zeros where `paints` has fewer


def build(folder: Path, data: Path, seed: int = 0) -> Bank:
    """The bank kept in `folder`, rendered from the packages in `data` the first time (some minutes)."""
    path, known = folder / "bank.pt", subjects.read(data)
    if not path.exists():
        part = path.with_suffix(".part")
        torch.save(_render(data, known, np.random.default_rng(seed)), part)
        os.replace(part, path)
    kept = torch.load(path, weights_only=True, mmap=True)
    return Bank(subjects=known, own=tuple(kept.pop("own")), paints=tuple(map(tuple, kept.pop("paints"))), **kept)


def _render(data: Path, known: tuple[subjects.Subject, ...], rng: np.random.Generator) -> dict[str, object]:
    rows: dict[str, list[torch.Tensor]] = {"whole": [], "half": [], "painted": []}
    own, paints = [], []
    for subject in known:
        for style in art.STYLES:
            picture = art.draw(data, subject, style)
            own.append(colours.dominant(picture))
            paints.append(_paints(own[-1], rng))
            rows["whole"].append(torch.stack([_whole(picture, subject, view, rng) for view in range(VIEWS)]))
            rows["half"].append(torch.stack([_half(picture, subject, view, rng) for view in range(HALVES)]))
            rows["painted"].append(_painted(picture, subject, own[-1], paints[-1], rng))
    return {"own": own, "paints": paints, **{name: torch.stack(views) for name, views in rows.items()}}


def _paints(own: str, rng: np.random.Generator) -> list[str]:
    """Colours for the painted views of a picture that is mostly `own`."""
    if own in {"", "black"}:
        return []
    return [str(paint) for paint in rng.permutation([p for p in colours.PAINTS if p != own])[:PAINTED]]


def _painted(
    picture: Image.Image, subject: subjects.Subject, own: str, paints: list[str], rng: np.random.Generator
) -> torch.Tensor:
    views = torch.zeros(PAINTED, 4, SIDE, SIDE, dtype=torch.uint8)
    for place, paint in enumerate(paints):
        views[place] = _whole(colours.repaint(picture, own, paint), subject, int(rng.integers(VIEWS)), rng)
    return views


def _whole(picture: Image.Image, subject: subjects.Subject, view: int, rng: np.random.Generator) -> torch.Tensor:
    """One view; view 0 is centred, 106 px along its longer side."""
    longest = rng.integers(88, 113) if view else 106
    return _place(_turned(picture, subject, view), SIDE, int(longest), 8 if view else 0, rng)


def _half(picture: Image.Image, subject: subjects.Subject, view: int, rng: np.random.Generator) -> torch.Tensor:
    """One view for one side of a pair."""
    return _place(_turned(picture, subject, view), SIDE // 2, int(rng.integers(50, 57)), 14, rng)


def _turned(picture: Image.Image, subject: subjects.Subject, view: int) -> Image.Image:
    return ImageOps.mirror(picture) if view % 2 and subject.flips else picture


def _place(picture: Image.Image, width: int, longest: int, play: int, rng: np.random.Generator) -> torch.Tensor:
    """The picture, `longest` px, up to `play` px off the centre of a canvas `width` x 128, on whole pixels."""
    scale = longest / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGBa", (width, SIDE))
    spare = (width - size[0]) / 2, (SIDE - size[1]) / 2
    room = [min(play, max(0, int(side) - RIM)) for side in spare]
    shifts = [int(rng.integers(-most, most + 1)) for most in room]
    canvas.paste(small, (int(spare[0]) + shifts[0], int(spare[1]) + shifts[1]))
    return torch.from_numpy(np.asarray(canvas).transpose(2, 0, 1).copy())
