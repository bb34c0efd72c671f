"""Pictures equal those of the diffusers pipelines, alone and in mixed batches; the comparison notices what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laterna.contracts.generation import TextToImage
from laterna.families.family import Family, Picture
from tests.families.checkpoints import build_sd15
from tests.families.drive import load, paint
from tests.families.reference import paint_by_diffusers

Checkpoint = Callable[[str], Path]
Model = Callable[[str], Family]

TOLERANCE = 1  # of 255
CONTRAST = 25.5  # standard deviation that a picture must have, of 255
FOX = TextToImage(prompt="a red fox", width=64, height=48, steps=6, cfg_scale=5.0, sampler="euler", seed=7)
DIFFUSION = ("sd15", "sd21", "sdxl")
SAMPLERS = ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras", "unipc", "lcm")


def difference(a: Picture, b: Picture) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def assert_equal(ours: Picture, theirs: Picture) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.uint8
    assert theirs.std() >= CONTRAST, "a picture so flat proves nothing"
    assert difference(ours, theirs) <= TOLERANCE


def case(**changes: object) -> TextToImage:
    return msgspec.structs.replace(FOX, **changes)


@pytest.mark.parametrize("cfg_scale", [1.0, 5.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "name", [*DIFFUSION[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in DIFFUSION[1:])]
)
def test_diffusion_alone(name: str, sampler: str, cfg_scale: float, checkpoint: Checkpoint, model: Model) -> None:
    job = case(sampler=sampler, cfg_scale=cfg_scale, negative_prompt="blue" if sampler == "ddim" else "")
    assert_equal(paint(model(name), job)[0], paint_by_diffusers(name, checkpoint(name), job))


FLOW = case(sampler="flow_euler", cfg_scale=1.0, height=64)


@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize("guidance", [None, 1.5])
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
@pytest.mark.parametrize("name", ["flux-schnell", "flux-dev"])
def test_flow_alone(
    name: str, cfg_scale: float, guidance: float | None, steps: int, checkpoint: Checkpoint, model: Model
) -> None:
    job = msgspec.structs.replace(
        FLOW, steps=steps, guidance=guidance, cfg_scale=cfg_scale, negative_prompt="green" if steps == 4 else ""
    )
    assert_equal(paint(model(name), job)[0], paint_by_diffusers(name, checkpoint(name), job))


def mixture(name: str) -> list[TextToImage]:
    """Jobs of one shape that differ in all else."""
    names = ("flow_euler",) * 4 if name.startswith("flux") else ("dpmpp_2m_karras", "euler_ancestral", "unipc", "lcm")
    return [
        case(sampler=names[0], prompt="a blue dog", seed=1, steps=3, cfg_scale=3.0, negative_prompt="cat"),
        case(sampler=names[1], seed=2, steps=8, cfg_scale=1.0, guidance=2.0),
        case(sampler=names[2], prompt="", seed=3, steps=5, cfg_scale=7.5, guidance=6.0),
        case(sampler=names[3], prompt="a blue dog", seed=4, steps=4, cfg_scale=1.5),
    ]


@pytest.mark.parametrize("name", [*DIFFUSION, "flux-schnell", "flux-dev"])
def test_mixed_batch(name: str, checkpoint: Checkpoint, model: Model) -> None:
    """Prompts, seeds, samplers, step counts, step positions and guidance all differ within each call."""
    jobs = mixture(name)
    for job, ours in zip(jobs, paint(model(name), *jobs, late=[2, 0, 1, 3]), strict=True):
        assert_equal(ours, paint_by_diffusers(name, checkpoint(name), job))


@pytest.mark.parametrize("name", ["flux-schnell", "flux-dev"])
def test_mixed_sizes(name: str, checkpoint: Checkpoint, model: Model) -> None:
    """Resolutions and aspects differ too, and all share every call."""
    sizes = [(64, 48), (48, 64), (128, 32), (64, 48)]
    shaped = zip(mixture(name), sizes, strict=True)
    jobs = [msgspec.structs.replace(job, width=width, height=height) for job, (width, height) in shaped]
    for job, ours in zip(jobs, paint(model(name), *jobs, late=[2, 0, 1, 3]), strict=True):
        assert_equal(ours, paint_by_diffusers(name, checkpoint(name), job))


flow_jobs = st.builds(
    case,
    sampler=st.just("flow_euler"),
    prompt=st.sampled_from(["a red fox", "a blue dog", ""]),
    negative_prompt=st.sampled_from(["", "cat"]),
    cfg_scale=st.sampled_from([1.0, 4.0]),
    guidance=st.sampled_from([None, 2.0]),
    seed=st.integers(0, 2**40),
    steps=st.integers(1, 7),
    width=st.sampled_from([16, 48, 80]),
    height=st.sampled_from([32, 64]),
)


@given(st.lists(st.tuples(flow_jobs, st.integers(0, 6)), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_picture_does_not_know_what_was_packed_with_it(model: Model, mix: list[tuple[TextToImage, int]]) -> None:
    jobs, late = zip(*mix, strict=True)
    family = model("flux-dev")
    for job, ours in zip(jobs, paint(family, *jobs, late=late), strict=True):
        assert difference(ours, paint(family, job)[0]) <= TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a red dog"},
        {"negative_prompt": "red"},
        {"seed": 8},
        {"steps": 7},
        {"cfg_scale": 5.5},
        {"cfg_scale": 1.0},
        {"sampler": "dpmpp_2m"},
        {"sampler": "euler_ancestral"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", DIFFUSION)
def test_the_comparison_notices_a_wrong_job(
    name: str, change: dict[str, object], checkpoint: Checkpoint, model: Model
) -> None:
    right = paint_by_diffusers(name, checkpoint(name), FOX)
    assert difference(paint(model(name), case(**change))[0], right) > 4 * TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a red dog"},
        {"negative_prompt": "red"},
        {"seed": 8},
        {"steps": 7},
        {"cfg_scale": 5.5},
        {"cfg_scale": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["flux-schnell", "flux-dev"])
def test_the_comparison_notices_a_wrong_flow_job(
    name: str, change: dict[str, object], checkpoint: Checkpoint, model: Model
) -> None:
    job = case(sampler="flow_euler")
    right = paint_by_diffusers(name, checkpoint(name), job)
    assert difference(paint(model(name), msgspec.structs.replace(job, **change))[0], right) > 4 * TOLERANCE


def test_a_distilled_network_takes_the_scale_as_a_number(tmp_path: Path) -> None:
    """Latent consistency models: no negative half, whatever the scale, and the scale is embedded."""
    folder = build_sd15(tmp_path / "lcm", time_cond_proj_dim=32)
    family, job = load("stable_diffusion", folder), case(sampler="lcm", steps=4, cfg_scale=8.0)
    other = msgspec.structs.replace(job, cfg_scale=2.0, seed=8)
    for asked, ours in zip((job, other), paint(family, job, other, late=[1]), strict=True):
        assert_equal(ours, paint_by_diffusers("sd15", folder, asked))
    weak = paint(family, msgspec.structs.replace(job, cfg_scale=2.0))[0]
    assert difference(weak, paint(family, job)[0]) > 4 * TOLERANCE
    as_number = msgspec.structs.replace(job, cfg_scale=1.0, guidance=8.0)
    assert difference(paint(family, as_number)[0], paint(family, job)[0]) == 0


def test_latents_with_a_mean_and_a_deviation(checkpoint: Checkpoint, model: Model, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("sdxl"), tmp_path / "scaled")
    config = folder / "vae" / "config.json"
    statistics = {"latents_mean": [-0.5, 0.3, 0.2, -0.1], "latents_std": [0.8, 0.4, 1.2, 0.6]}
    config.write_text(json.dumps({**json.loads(config.read_text()), **statistics}))
    ours = paint(load("stable_diffusion", folder), FOX)[0]
    assert_equal(ours, paint_by_diffusers("sdxl", folder, FOX))
    assert difference(ours, paint(model("sdxl"), FOX)[0]) > 4 * TOLERANCE


def test_the_guidance_number_reaches_only_networks_that_take_one(model: Model) -> None:
    strong = msgspec.structs.replace(FLOW, guidance=9.0)
    assert difference(paint(model("flux-dev"), strong)[0], paint(model("flux-dev"), FLOW)[0]) > 4 * TOLERANCE
    assert difference(paint(model("flux-schnell"), strong)[0], paint(model("flux-schnell"), FLOW)[0]) == 0
