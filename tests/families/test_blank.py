"""The family without a network paints its seed's colour, by every sampler and beside any neighbour."""

from __future__ import annotations

import time

import numpy as np
import pytest

from laterna.contracts.generation import TextToImage
from laterna.samplers import SAMPLERS
from tests.families.drive import load, paint


def job(seed: int, sampler: str = "euler", steps: int = 4) -> TextToImage:
    return TextToImage(prompt="", width=32, height=16, steps=steps, sampler=sampler, seed=seed)


def test_one_flat_colour_of_the_seed() -> None:
    family = load("blank", "builtin:none")
    painted = [paint(family, job(seed))[0] for seed in (0, 1, 2**63 - 1)]
    for picture in painted:
        assert picture.shape == (16, 32, 3)
        assert (picture == picture[0, 0]).all()
    assert len({tuple(picture[0, 0]) for picture in painted}) == 3


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_ends_at_the_same_colour(sampler: str, steps: int) -> None:
    family = load("blank", "builtin:none")
    painted = paint(family, job(3, sampler, steps), job(4, "euler", 5), late=[1, 0])
    alone = paint(family, job(3))[0], paint(family, job(4))[0]
    for ours, theirs in zip(painted, alone, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_each_call_takes_its_time() -> None:
    family = load("blank", "builtin:none", step_seconds=0.02)
    begun = time.monotonic()
    paint(family, job(1, steps=3), job(2, steps=3))
    assert time.monotonic() - begun >= 5 * 0.02  # one encode, three denoise and one decode call for both
