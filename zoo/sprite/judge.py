"""Judges what a model painted: a small classifier names subject, style and background.

It learns from real pictures alone, laid out, softened and coloured at random; the last views of each picture are kept
from it and say how far it can be trusted. `verdict` draws the conclusions.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zoo.sprite import checkpoint, colours, scenes
from zoo.sprite.art import STYLES
from zoo.sprite.views import VIEWS, Bank

SIDE = 64  # px that the classifier looks at
KEPT = 2  # views of each picture that it never learns from
STEPS = 4000
BATCH = 64
RATE = 2e-3


@dataclass(frozen=True, kw_only=True)
class Named:
    """What each of n pictures was found to show."""

    subject: torch.Tensor  # int64 (n,): subject numbers
    style: torch.Tensor  # int64 (n,)
    ground: torch.Tensor  # int64 (n,)


class Judge(nn.Module):
    """Pictures in [-1, 1] to logits over subjects, styles and backgrounds."""

    def __init__(self, subjects: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((3, 32, 64, 128, 256)):
            layers += [_step(before, after, stride=2), _step(after, after, stride=1)]
        self.body = nn.Sequential(*layers)
        self.subject = nn.Linear(256 * 4, subjects)
        self.style = nn.Linear(256 * 4, len(STYLES))
        self.ground = nn.Linear(256 * 4, len(colours.NAMES))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of square pictures (n, 3, h, h), any side that is a multiple of 64."""
        small = functional.interpolate(pictures, size=(SIDE, SIDE), mode="area")
        seen = functional.adaptive_avg_pool2d(self.body(small), 2).flatten(1)
        return self.subject(seen), self.style(seen), self.ground(seen)

    @torch.no_grad()
    def name(self, pictures: torch.Tensor) -> Named:
        """The likeliest of each."""
        parts = [self(pictures[start : start + 100]) for start in range(0, len(pictures), 100)]
        subject, style, ground = (torch.cat(found).argmax(1) for found in zip(*parts, strict=True))
        return Named(subject=subject, style=style, ground=ground)


def _step(before: int, after: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(8, after), nn.SiLU()
    )


def learn(folder: Path, bank: Bank, steps: int, minutes: float) -> None:
    """Train to `steps` steps in all, or for `minutes`, from the last save in `folder`."""
    torch.manual_seed(4)
    model = Judge(len(bank.subjects))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    course = checkpoint.Course(
        network=model, optimizer=optimizer, path=folder / "judge.pt", decay=0.998, minutes=minutes
    )
    while course.step < steps and not course.over():
        pictures, icons, grounds = _lesson(bank, np.random.default_rng([4, course.step]))
        logits = course.network(pictures)
        answers = (icons // len(STYLES), icons % len(STYLES), grounds)
        loss = torch.stack([functional.cross_entropy(*pair) for pair in zip(logits, answers, strict=True)]).sum()
        course.advance(loss, RATE * checkpoint.falling(course.step, steps, 200))
        if course.step % 50 == 0:
            course.note(f"{loss.item():.4f}")
        course.save(now=course.step == steps or course.over())


def load(folder: Path, bank: Bank) -> Judge:
    """The trained classifier of `folder`; ValueError when there is none."""
    state = checkpoint.load(folder / "judge.pt")
    if state is None:
        raise ValueError(f"{folder}: no judge.pt; run the stage 'learn-judge' first")
    model = Judge(len(bank.subjects))
    model.load_state_dict(state["average"])
    return model.eval()


def real(bank: Bank, icons: list[int], grounds: list[int], rng: np.random.Generator) -> torch.Tensor:
    """Real pictures of these icons on these backgrounds, in views that the classifier never saw."""
    views = [bank.whole[icon, VIEWS - KEPT + int(rng.integers(KEPT))] for icon in icons]
    return torch.stack([scenes.lay(view, ground) for view, ground in zip(views, grounds, strict=True)])


def _lesson(bank: Bank, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of altered real pictures, their icons and their backgrounds."""
    icons = rng.integers(len(bank.own), size=BATCH)
    grounds = rng.integers(len(colours.NAMES), size=BATCH)
    views = [_lesson_view(bank, int(icon), rng) for icon in icons]
    pictures = [_altered(view, int(ground), rng) for view, ground in zip(views, grounds, strict=True)]
    return torch.stack(pictures), torch.from_numpy(icons), torch.from_numpy(grounds)


def _lesson_view(bank: Bank, icon: int, rng: np.random.Generator) -> torch.Tensor:
    """A view that it may learn from; one in eight is in another colour, which changes no answer."""
    if bank.paints[icon] and rng.random() < 0.125:
        return bank.painted[icon, rng.integers(len(bank.paints[icon]))]
    return bank.whole[icon, rng.integers(VIEWS - KEPT)]


def _altered(view: torch.Tensor, ground: int, rng: np.random.Generator) -> torch.Tensor:
    """A picture moved, scaled and turned a little, at times softened and noisy as a painted one may be."""
    angle, scale = rng.uniform(-0.15, 0.15), rng.uniform(0.92, 1.25)
    turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = torch.tensor(rng.uniform(-0.08, 0.08, size=(2, 1)))
    grid = functional.affine_grid(torch.cat([turn, shift], 1)[None].float(), [1, 4, SIDE, SIDE], align_corners=False)
    small = functional.interpolate(view[None].float(), size=(SIDE, SIDE), mode="area")
    picture = scenes.lay(functional.grid_sample(small, grid, align_corners=False)[0], ground)
    if rng.random() < 0.5:
        soft = functional.interpolate(picture[None], scale_factor=float(rng.uniform(0.4, 0.9)), mode="area")
        picture = functional.interpolate(soft, size=(SIDE, SIDE), mode="bilinear")[0]
    return picture + float(rng.uniform(0, 0.12)) * torch.from_numpy(rng.standard_normal(picture.shape)).float()
