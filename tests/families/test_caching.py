"""Feature caching: each sample decides alone, at no first or last step, and those that reuse leave the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from laterna.contracts.generation import TextToImage
from laterna.errors import ConfigError
from laterna.families.caching import MOST_SKIPS, change
from laterna.families.family import Family, Noisy, Picture, Predicted
from tests.engine.toy import Heard, drain, engine, order
from tests.families.checkpoints import FAMILY
from tests.families.drive import load, paint

Checkpoint = Callable[[str], Path]
NAMES = ["flux-dev", "sd15", "sdxl"]
ALWAYS, NEVER, NOW_AND_THEN = 1e9, 1e-9, {"flux-dev": 0.6, "sd15": 0.25, "sdxl": 0.25}
FIRST = {"flux-dev": 2, "sd15": 1, "sdxl": 1}  # steps computed before any is skipped: a line needs two
SIZES = {"flux": [(64, 48), (32, 64), (80, 32)], "stable_diffusion": [(64, 48)] * 3}


class Watched:
    """A family that remembers what share of each call's network ran for each seed."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.shares: dict[int, list[float]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        found = self._family.denoise(samples)
        for sample, predicted in zip(samples, found, strict=True):
            self.shares.setdefault(sample.job.seed, []).append(predicted.share)
            assert (predicted.cache is None) == (sample.last or sample.job.acceleration == "none")
        return found


def watched(name: str, checkpoint: Checkpoint, threshold: float) -> Watched:
    return Watched(load(FAMILY[name], checkpoint(name), cache_regular=threshold, cache_high=threshold))


def paint_by(family: Watched, *jobs: TextToImage, late: Sequence[int] = ()) -> list[Picture]:
    return paint(family, *jobs, late=late)


def jobs_of(name: str, **changes: Any) -> list[TextToImage]:
    sampler = "flow_euler" if FAMILY[name] == "flux" else "dpmpp_2m"
    first = TextToImage(prompt="a red fox", width=64, height=48, steps=12, sampler=sampler, seed=1, cfg_scale=3.0)
    differing: list[dict[str, Any]] = [
        {"acceleration": "regular"},
        {"prompt": "a blue dog", "cfg_scale": 1.0, "steps": 16, "acceleration": "high"},
        {"prompt": "", "negative_prompt": "cat", "steps": 9},
    ]
    return [
        msgspec.structs.replace(first, seed=seed, **{"width": width, "height": height, **own, **changes})
        for seed, (own, (width, height)) in enumerate(zip(differing, SIZES[FAMILY[name]], strict=True))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_never_reuses_is_exact(name: str, checkpoint: Checkpoint) -> None:
    """The way through the network in two parts is the way through it in one."""
    family = watched(name, checkpoint, NEVER)
    plain, asked = (paint_by(family, *jobs_of(name, acceleration=how)) for how in ("none", "high"))
    assert all(map(np.array_equal, plain, asked))
    assert {share for shares in family.shares.values() for share in shares} == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_that_reuses_does_not_know_its_neighbours(name: str, checkpoint: Checkpoint) -> None:
    family, jobs = watched(name, checkpoint, NOW_AND_THEN[name]), jobs_of(name)
    together = paint_by(family, *jobs, late=[2, 0, 1])
    mixed, family.shares = family.shares, {}
    for job, picture in zip(jobs, together, strict=True):
        assert np.abs(picture.astype(int) - paint_by(family, job)[0].astype(int)).max() <= 1
    assert family.shares == mixed
    assert mixed[0] != mixed[1]
    assert min(mixed[0]) < 1 == max(mixed[0][1:-1])
    assert set(mixed[2]) == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_first_and_last_steps_are_computed_and_no_more_than_so_many_skipped_in_a_row(
    name: str, checkpoint: Checkpoint
) -> None:
    family = watched(name, checkpoint, ALWAYS)
    for steps in (1, 2, 3, 11):
        family.shares = {}
        paint_by(family, msgspec.structs.replace(jobs_of(name)[0], steps=steps))
        skipped = [share < 1 for share in family.shares[0]]
        between = ([True] * MOST_SKIPS + [False]) * steps
        before_the_last = [*[False] * FIRST[name], *between][: steps - 1]
        assert skipped == [*before_the_last, False]


@pytest.mark.parametrize("name", NAMES)
def test_those_that_reuse_leave_the_call(name: str, checkpoint: Checkpoint) -> None:
    """The inner blocks see the rows of the others alone."""
    family = watched(name, checkpoint, ALWAYS)
    network = family._network
    seen: list[int] = []
    inner: torch.nn.Module
    inner = network.transformer.single_transformer_blocks[0].proj_mlp if name == "flux-dev" else network.unet.mid_block
    hook = inner.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    paint_by(family, *jobs_of(name, steps=5, cfg_scale=1.0))
    hook.remove()
    none_asked, everybody = min(seen), max(seen)
    first = [everybody] * FIRST[name]
    assert seen == [*first, *[none_asked] * (4 - len(first)), everybody]
    assert none_asked < everybody


def test_a_sample_in_which_all_is_remembered_needs_no_inner_block(checkpoint: Checkpoint) -> None:
    family = watched("flux-dev", checkpoint, ALWAYS)
    assert paint_by(family, jobs_of("flux-dev")[0])[0].std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_cache_that_is_dropped_is_computed_anew(name: str, checkpoint: Checkpoint) -> None:
    """As after a resume: the next step runs in full, and the picture is another one at most within caching's bound."""
    family, heard = watched(name, checkpoint, ALWAYS), Heard()
    running = engine(family, heard)
    running.submit(order("a", jobs_of(name)[0]))
    for _ in range(4):
        running.turn()
    (sample,) = running._samples
    assert sample.cache is not None
    sample.cache = None
    drain(running)
    skipped = [share < 1 for share in family.shares[0]]
    assert skipped[2:5] == [True, *[False] * FIRST[name], True][:3]


@pytest.mark.parametrize("name", NAMES)
def test_who_reuses_is_billed_less_and_told_to_the_cost_model(name: str, checkpoint: Checkpoint) -> None:
    family, heard = watched(name, checkpoint, ALWAYS), Heard()
    running = engine(family, heard)
    asked = jobs_of(name, steps=10, cfg_scale=1.0, width=64, height=48, prompt="a red fox")
    for number in (0, 2):
        running.submit(order(str(number), asked[number]))
    drain(running)
    denoise = [seen for seen in heard.observed if seen.stage == "denoise"]
    skipped = [*[0] * FIRST[name], 1, 1, 1, 0, 1, 1, 1, 0][:9]
    assert [seen.skipped for seen in denoise] == [*skipped, 0]
    spent = {name: sum(s.device_ns for s in bill if s.stage == "denoise") for name, bill in heard.completed.items()}
    assert sum(spent.values()) == sum(seen.device_ns for seen in denoise)
    assert spent["0"] < spent["2"]


def test_the_measure_of_change() -> None:
    one = torch.tensor([1.0, -1.0, 2.0])
    assert float(change(one, one)) == 0
    assert float(change(one * 1.5, one)) == pytest.approx(0.5)
    assert not float(change(one * float("nan"), one)) < ALWAYS


@pytest.mark.parametrize("value", ["much", True, -0.1, float("nan")])
@pytest.mark.parametrize("setting", ["cache_regular", "cache_high"])
def test_thresholds_are_checked(setting: str, value: str | float | bool, checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match=rf"settings\.{setting} of 'test/model'"):
        load("flux", checkpoint("flux-schnell"), None, **{setting: value})
