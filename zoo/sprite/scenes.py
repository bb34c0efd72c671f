"""Random pictures with true captions, from a seeded generator: a thing on a colour, repainted at times, or two things.

Three hundred combinations of subject, style and background are never drawn; `judge` asks a trained model for those.
"""

import numpy as np
import torch

from zoo.sprite import art, captions, colours
from zoo.sprite.views import HALVES, VIEWS, Bank

PAIRED = 0.14  # share of scenes with two things
REPAINTED = 0.13  # share of scenes whose thing has another colour than its own
OWN = 0.2  # share of other scenes whose caption says the thing's own colour
HELD_OUT = 300  # combinations kept for judging, at most one in ten

STYLES = len(art.STYLES)
GROUNDS = len(colours.NAMES)


def held_out(bank: Bank) -> list[tuple[int, int]]:
    """The (icon, background) numbers that are never drawn, in a fixed random order, subjects as even as can be."""
    rng = np.random.default_rng(300)
    order = rng.permutation(len(bank.subjects))
    count = min(HELD_OUT, len(bank.own) * GROUNDS // 10)
    chosen = [int(order[place % len(order)]) for place in range(count)]
    return [(subject * STYLES + int(rng.integers(STYLES)), int(rng.integers(GROUNDS))) for subject in chosen]


def scene(bank: Bank, icons: tuple[int, ...], ground: int, tint: str = "") -> captions.Scene:
    """What a picture of these icons on this background shows."""
    things = tuple(bank.subjects[icon // STYLES] for icon in icons)
    style = art.STYLES[icons[0] % STYLES]
    return captions.Scene(things=things, tint=tint, style=style, ground=colours.NAMES[ground])


def lay(view: torch.Tensor, ground: int) -> torch.Tensor:
    """A picture in [-1, 1], float32 (3, h, w), of one premultiplied view (4, h, w) over a background."""
    paint = torch.tensor(colours.BACKGROUNDS[colours.NAMES[ground]], dtype=torch.float32)[:, None, None]
    ink, cover = view[:3].float(), view[3:].float() / 255
    return ((ink + (1 - cover) * paint) / 127.5 - 1).clamp(-1, 1)


class Draw:
    """Batches from a bank."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.kept = set(held_out(bank))

    def batch(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        """`count` pictures in [-1, 1], float32 (n, 3, 128, 128), and a true caption for each."""
        drawn = [self.one(rng) for _ in range(count)]
        return torch.stack([picture for picture, _ in drawn]), [text for _, text in drawn]

    def one(self, rng: np.random.Generator) -> tuple[torch.Tensor, str]:
        """One picture, float32 (3, 128, 128), and its caption."""
        kind, style = rng.random(), int(rng.integers(STYLES))
        icons: tuple[int, ...]
        first, second = (int(place) * STYLES + style for place in rng.choice(len(self.bank.subjects), 2, replace=False))
        if kind < PAIRED:
            view, icons, tint = self._pair(first, second, rng), (first, second), ""
        elif kind < PAIRED + REPAINTED and self.bank.paints[first]:
            view, tint = self._repainted(first, rng)
            icons = (first,)
        else:
            view, icons = self.bank.whole[first, rng.integers(VIEWS)], (first,)
            tint = self._own(first, rng) if rng.random() < OWN else ""
        ground = self._ground(icons, rng)
        return lay(view, ground), captions.sentence(scene(self.bank, icons, ground, tint), rng)

    def _pair(self, first: int, second: int, rng: np.random.Generator) -> torch.Tensor:
        sides = [self.bank.half[icon, rng.integers(HALVES)] for icon in (first, second)]
        return torch.cat(sides, dim=2)

    def _repainted(self, icon: int, rng: np.random.Generator) -> tuple[torch.Tensor, str]:
        place = int(rng.integers(len(self.bank.paints[icon])))
        return self.bank.painted[icon, place], self.bank.paints[icon][place]

    def _own(self, icon: int, rng: np.random.Generator) -> str:
        """The icon's colour word, "" where there is none or its name says it already."""
        subject = self.bank.subjects[icon // STYLES]
        spoken = captions.SPOKEN.get(subject.names[0], "")
        own = spoken if spoken and rng.random() < 0.5 else self.bank.own[icon]
        said = " ".join((*subject.names, *subject.dutch)).split()
        return "" if own in said or captions.DUTCH_COLOURS.get(own) in said else own

    def _ground(self, icons: tuple[int, ...], rng: np.random.Generator) -> int:
        """A background that none of the icons is kept from."""
        free = [ground for ground in range(GROUNDS) if not any((icon, ground) in self.kept for icon in icons)]
        return int(rng.choice(free))
