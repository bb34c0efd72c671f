"""Contact sheets of fixed captions, the share of backgrounds that came out as asked, and the loss curves.

The background is judged by the picture's rim: the median of its outermost pixels against the twelve colours. Whether a
subject is recognisable is for a person to say, or for `judge`.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

from zoo.sprite import captions, colours, latents, networks, sampling, scenes, views
from zoo.sprite.art import STYLES
from zoo.sprite.subjects import Subject

COUNT = 100
COLUMNS = 10
RIM = 2  # px from the edge that count as background
HERO = "a red fox on a teal background"
OTHERS = {  # what no pattern reaches
    "a blue fox on a white background, flat style": "white",
    "a purple apple on a yellow background": "yellow",
    "a cat and a moon on a navy background": "navy",
    "a dog and a pizza on a green background, cartoon style": "green",
    "een kat op een blauwe achtergrond": "blue",
    "een raket en een ster op een zwarte achtergrond, platte stijl": "black",
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One fixed caption."""

    text: str  # the caption
    colour: str  # the background asked for


def items(known: tuple[Subject, ...], count: int = COUNT) -> list[Item]:
    """`count` captions: the hero, the others, then subjects spread over the list with styles and colours in turn."""
    found = [Item(text=HERO, colour="teal"), *(Item(text=text, colour=colour) for text, colour in OTHERS.items())]
    left = max(0, count - len(found))
    for place in range(left):
        thing = known[place * len(known) // left]
        style, ground = STYLES[place % len(STYLES)], colours.NAMES[5 * place % len(colours.NAMES)]
        text = captions.asked(captions.Scene(things=(thing,), tint="", style=style, ground=ground))
        found.append(Item(text=text, colour=ground))
    return found[:count]


def backgrounds(pictures: torch.Tensor) -> list[str]:
    """The colour word nearest to the rim of each picture, (n, 3, h, w) in [0, 1]."""
    rim = torch.ones(pictures.shape[2:], dtype=torch.bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    medians = pictures[:, :, rim].median(-1).values
    table = torch.tensor(list(colours.BACKGROUNDS.values())) / 255
    nearest = (medians[:, None] - table).square().sum(-1).argmin(1)
    return [colours.NAMES[int(place)] for place in nearest]


def draw(pictures: torch.Tensor, labels: list[str], path: Path) -> None:
    """A labelled grid, as PNG."""
    width, height = views.SIDE + 8, views.SIDE + 24
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(labels) // COLUMNS) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = place % COLUMNS * width, place // COLUMNS * height
        sheet.paste(image(picture), (left + 4, top + 2))
        pen.multiline_text((left + 4, top + views.SIDE + 2), _folded(label), fill="black", font_size=8, spacing=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def glance(painter: networks.Painter, basis: latents.Basis, known: tuple[Subject, ...], path: Path) -> None:
    """A small sheet along the way, painted in few steps and shown through the linear map: block edges are its own."""
    asked = items(known, 40)
    codes = sampling.paint(painter.eval(), [item.text for item in asked], steps=12)
    draw(basis.lift(codes) / 2 + 0.5, [item.text for item in asked], path)


def _folded(label: str) -> str:
    """A caption in two short lines."""
    short = label.replace(" background", "").replace(" achtergrond", "").replace(" style", "").replace(" stijl", "")
    return f"{short[:28]}\n{short[28:56]}"


def image(picture: torch.Tensor) -> Image.Image:
    """A PIL picture of (3, h, w) in [0, 1]."""
    return Image.fromarray((picture.permute(1, 2, 0) * 255).round().byte().numpy())


def curves(folder: Path, path: Path) -> None:
    """Every stage's loss over its steps, from the logs."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3))
    for axis, name in zip(axes, ("autoencoder", "painter", "cooled"), strict=True):
        log = folder / f"{name}.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        rows = np.array([line.split()[:2] for line in lines if "#" not in line], float).reshape(-1, 2)
        axis.semilogy(rows[:, 0], rows[:, 1])
        axis.set(title=name, xlabel="step", ylabel="loss")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def real(drawn: scenes.Draw, path: Path, seed: int = 0) -> None:
    """A sheet of what the recipe learns from, captions below."""
    pictures, texts = drawn.batch(COUNT, np.random.default_rng(seed))
    draw(pictures / 2 + 0.5, texts, path)
