"""The figures that a trained model is judged by, on three hundred combinations that it never learnt from.

For comparison it gives the same figures for the prompts shuffled and for real pictures, and how far the painted
pictures are from the nearest one that was learnt from.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from zoo.sprite import captions, judge, scenes
from zoo.sprite.views import VIEWS

SMALL = 32  # px at which distances are measured


@dataclass(frozen=True, kw_only=True)
class Score:
    """Shares of pictures named as asked."""

    subject: float
    style: float
    ground: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything that the model's card says of its quality."""

    painted: Score  # against the prompts they were painted for
    shuffled: Score  # the same pictures against one another's prompts
    real: Score  # real pictures of the same combinations
    distance: float  # median root mean square difference, of 0 to 1, to the nearest learnt picture, at 32 px
    real_distance: float  # the same of the real pictures
    missed: tuple[str, ...]  # prompts whose subject was not named


def prompts(draw: scenes.Draw) -> list[str]:
    """The three hundred, in order of `scenes.held_out`."""
    return [captions.asked(scenes.scene(draw.bank, (icon,), ground)) for icon, ground in scenes.held_out(draw.bank)]


def reach(draw: scenes.Draw, model: judge.Judge, pictures: torch.Tensor) -> Verdict:
    """The verdict on pictures in [0, 1], (300, 3, h, w), one for each of `prompts`."""
    icons, grounds = (torch.tensor(numbers) for numbers in zip(*scenes.held_out(draw.bank), strict=True))
    found = model.name(pictures * 2 - 1)
    real = judge.real(draw.bank, icons.tolist(), grounds.tolist(), np.random.default_rng(7))
    other = torch.randperm(len(icons), generator=torch.Generator().manual_seed(7))
    texts = prompts(draw)
    wrong = (found.subject != icons // scenes.STYLES).nonzero().flatten().tolist()
    return Verdict(
        painted=_score(found, icons, grounds),
        shuffled=_score(found, icons[other], grounds[other]),
        real=_score(model.name(real), icons, grounds),
        distance=_distance(draw, pictures * 2 - 1, grounds),
        real_distance=_distance(draw, real, grounds),
        missed=tuple(texts[place] for place in wrong),
    )


def _score(found: judge.Named, icons: torch.Tensor, grounds: torch.Tensor) -> Score:
    return Score(
        subject=(found.subject == icons // scenes.STYLES).float().mean().item(),
        style=(found.style == icons % scenes.STYLES).float().mean().item(),
        ground=(found.ground == grounds).float().mean().item(),
    )


def _distance(draw: scenes.Draw, pictures: torch.Tensor, grounds: torch.Tensor) -> float:
    """Learnt pictures with the same background are looked through: others are further away."""
    small = functional.interpolate(pictures, size=(SMALL, SMALL), mode="area").flatten(1)
    nearest = torch.full((len(pictures),), torch.inf)
    for ground in sorted(set(grounds.tolist())):
        rows = (grounds == ground).nonzero().flatten()
        for icon in range(len(draw.bank.own)):
            if (icon, ground) not in draw.kept:
                apart = torch.cdist(small[rows], _learnt(draw, icon, ground)).amin(1)
                nearest[rows] = torch.minimum(nearest[rows], apart)
    return nearest.median().item() / 2 / math.sqrt(3 * SMALL**2)


def _learnt(draw: scenes.Draw, icon: int, ground: int) -> torch.Tensor:
    laid = torch.stack([scenes.lay(draw.bank.whole[icon, view], ground) for view in range(VIEWS)])
    return functional.interpolate(laid, size=(SMALL, SMALL), mode="area").flatten(1)
