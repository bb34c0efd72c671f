"""Contact sheet of a hundred fixed captions, the share of backgrounds that came out as asked, and the loss curves.

The background is judged by the picture's rim: the median of its outermost pixels against the twelve colours. Whether a
subject is recognisable is for a person to say.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

from zoo.sprite import data, export, train

COUNT = 100
RIM = 2  # px from the edge that count as background
HERO = "a red fox on a teal background"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One fixed caption."""

    text: str  # the caption
    label: str  # what the sheet prints under the picture
    colour: str  # the background asked for


def items(subjects: tuple[data.Subject, ...]) -> list[Item]:
    """The hundred captions: subjects spread over the list, backgrounds in turn; the first is `HERO`."""
    names = [subject.names[0] for subject in subjects]
    chosen = [names[i * len(names) // COUNT] for i in range(COUNT) if names[i * len(names) // COUNT] != "fox"]
    colours = list(data.BACKGROUNDS)
    found = [Item(text=HERO, label="red fox / teal", colour="teal")]
    for place, name in enumerate(chosen[: COUNT - 1]):
        colour = colours[(5 * place) % len(colours)]
        article = data.with_article(name, name)
        text = f"{article} on a {colour} background".replace(" a orange", " an orange")
        found.append(Item(text=text, label=f"{name} / {colour}", colour=colour))
    return found


def paint(folder: Path, texts: list[str], *, guidance: float = 2.0, shift: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Pictures in [0, 1], (n, 3, 64, 64), by the averaged weights of `folder`."""
    model = export.painter(folder)
    codes = [
        train.paint(model, texts[i : i + 25], guidance=guidance, shift=shift, seed=seed + i)
        for i in range(0, len(texts), 25)
    ]
    return export.decode(export.decoder(folder), torch.cat(codes))


def backgrounds(pictures: torch.Tensor) -> list[str]:
    """The colour word nearest to each picture's rim."""
    rim = torch.ones(data.SIZE, data.SIZE, dtype=torch.bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    medians = pictures[:, :, rim].median(-1).values
    table = torch.tensor(list(data.BACKGROUNDS.values())) / 255
    nearest = (medians[:, None] - table).square().sum(-1).argmin(1)
    return [list(data.BACKGROUNDS)[int(i)] for i in nearest]


def draw(pictures: torch.Tensor, labels: list[str], path: Path, columns: int = 10) -> None:
    """A labelled grid, as PNG."""
    width, height = data.SIZE + 8, data.SIZE + 16
    sheet = Image.new("RGB", (columns * width, -(-len(labels) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = place % columns * width, place // columns * height
        sheet.paste(image(picture), (left + 4, top + 2))
        pen.text((left + 4, top + data.SIZE + 3), label[:16], fill="black", font_size=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def image(picture: torch.Tensor) -> Image.Image:
    """A PIL picture of (3, h, w) in [0, 1]."""
    return Image.fromarray((picture.permute(1, 2, 0) * 255).round().byte().numpy())


def curves(folder: Path, path: Path) -> None:
    """Both loss curves over steps, from the logs."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    for axis, name in zip(axes, ("autoencoder", "painter"), strict=True):
        lines = (folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
        rows = np.array([line.split()[:2] for line in lines if "#" not in line], float)
        axis.semilogy(rows[:, 0], rows[:, 1])
        axis.set(title=name, xlabel="step", ylabel="loss")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def make(folder: Path, bank: data.Bank) -> float:
    """Draw the sheet, the fox and the curves into `folder`; the share of backgrounds that are right."""
    asked = items(bank.subjects)
    pictures = paint(folder, [item.text for item in asked])
    draw(pictures, [item.label for item in asked], folder / "sprite-sheet.png")
    image(pictures[0]).resize((512, 512), Image.Resampling.LANCZOS).save(folder / "fox.png", optimize=True)
    curves(folder, folder / "sprite-curves.png")
    return sum(item.colour == found for item, found in zip(asked, backgrounds(pictures), strict=True)) / COUNT
