"""On a CPU in float32 a sample's pixels are the same alone and in any company, to the last bit of its latent.

Random mixes of sizes, steps, samplers and guidance join and are cancelled at random moments; whoever remains must paint
what it paints alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Lease
from laterna.families.family import Family, Picture
from tests.engine.toy import Heard, engine, order
from tests.families.checkpoints import FAMILY
from tests.families.drive import load, paint

Checkpoint = Callable[[str], Path]

SAMPLERS = ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm")
SIZES = ((64, 64), (128, 64), (64, 128))
WORDS = ("a red fox", "blue dog", "", "a cat and a moon")
TURNS = 400  # calls after which a mix must be done

pytestmark = pytest.mark.skipif(not torch._C._has_mkldnn, reason="promised with oneDNN only")


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["flux-dev", "sd15"])
def test_random_mixes(name: str, threads: int, checkpoint: Checkpoint) -> None:
    check(load(FAMILY[name], checkpoint(name)), name, mixes=2, seed=threads)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(FAMILY))
def test_hundreds_of_random_mixes(name: str, threads: int, checkpoint: Checkpoint) -> None:
    check(load(FAMILY[name], checkpoint(name)), name, mixes=25, seed=100 + threads)


@pytest.mark.slow
def test_the_built_in_model(threads: int) -> None:
    check(load("flux", "builtin:sprite", max_sequence_length=16), "flux", mixes=3, seed=threads)


def check(family: Family, name: str, mixes: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(mixes):
        jobs = [draw(dice, name) for _ in range(dice.randint(2, 6))]
        survivors = mixed(family, jobs, dice)
        assert survivors
        for number, picture in survivors.items():
            assert np.array_equal(picture, paint(family, jobs[number])[0]), (number, jobs)


def draw(dice: random.Random, name: str) -> TextToImage:
    width, height = dice.choice(SIZES)
    return TextToImage(
        prompt=dice.choice(WORDS),
        negative_prompt=dice.choice(WORDS),
        width=width,
        height=height,
        steps=dice.randint(1, 7),
        cfg_scale=dice.choice([1.0, 1.5, 4.0]),
        sampler="flow_euler" if name.startswith("flux") else dice.choice(SAMPLERS),
        seed=dice.randrange(2**32),
    )


def mixed(family: Family, jobs: Sequence[TextToImage], dice: random.Random) -> dict[int, Picture]:
    """Pictures of the jobs that were not cancelled."""
    heard = Heard()
    running = engine(family, heard)
    joins = [dice.randrange(6) for _ in jobs]
    leaves = {number: dice.randrange(10) for number in range(1, len(jobs)) if dice.random() < 0.25}
    for turn in range(TURNS):
        for number, job in enumerate(jobs):
            if joins[number] == turn:
                running.submit(order(str(number), job))
            if leaves.get(number) == turn:
                running.cancel(Lease(request_id=str(number), token=str(number)))
        if not running.turn() and turn > max(joins):
            break
    return {number: heard.pictures[str(number)][0] for number in range(len(jobs)) if heard.pictures.get(str(number))}
