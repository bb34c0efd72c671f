"""The table of families, and what every family promises whatever its network."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna import families
from laterna.contracts import traits
from laterna.contracts.generation import ModelRef, TextToImage
from laterna.errors import ConfigError, InvalidInput
from laterna.families import blank, load_family
from laterna.families.family import Family, Noisy
from laterna.families.guidance import Rows
from laterna.samplers import SAMPLERS
from tests.families.checkpoints import BUILDERS, FAMILY, T5_LENGTH
from tests.families.drive import CPU, load, paint

Model = Callable[[str], Family]
ALL = [*BUILDERS, "blank"]


def any_job(name: str, **changes: object) -> TextToImage:
    sampler = "flow_euler" if name.startswith("flux") else "euler"
    job = TextToImage(prompt="a red fox", width=64, height=64, steps=2, sampler=sampler, seed=7)
    return msgspec.structs.replace(job, **changes)


def get(name: str, model: Model) -> Family:
    return load("blank", "builtin:none") if name == "blank" else model(name)


@pytest.mark.parametrize("name", ALL)
def test_samplers_that_do_not_fit_are_refused_with_those_that_do(name: str, model: Model) -> None:
    family = get(name, model)
    assert set(family.samplers) <= set(SAMPLERS)
    for sampler in {*SAMPLERS, "plms"} - set(family.samplers):
        with pytest.raises(InvalidInput, match=f"sampler.*'{sampler}' does not fit.*{family.samplers[0]}") as caught:
            family.begin(any_job(name, sampler=sampler), torch.Generator())
        assert [problem.loc for problem in caught.value.problems] == [("body", "sampler")]


@pytest.mark.parametrize("name", ALL)
def test_sizes_off_the_grain_are_refused(name: str, model: Model) -> None:
    family = get(name, model)
    for width in (0, family.grain() - 1, 64 + family.grain() // 2):
        with pytest.raises(InvalidInput, match=f"width: {width} is not a positive multiple of {family.grain()}"):
            family.begin(any_job(name, width=width), torch.Generator())
    assert family.grain() == (16 if name.startswith("flux") else 8)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("steps", [0, 5000])
def test_step_counts_out_of_range_are_refused(name: str, steps: int, model: Model) -> None:
    if name.startswith("flux") and steps:
        return
    with pytest.raises(InvalidInput, match=f"steps: .*{steps}"):
        get(name, model).begin(any_job(name, steps=steps), torch.Generator())


@pytest.mark.parametrize("name", ALL)
def test_a_first_latent_is_its_seeds_alone(name: str, model: Model) -> None:
    family = get(name, model)
    one, same, other = (family.begin(any_job(name), torch.Generator().manual_seed(seed)).latent for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32


@pytest.mark.parametrize("name", ALL)
def test_pictures_of_any_size_keep_it(name: str, model: Model) -> None:
    family = get(name, model)
    job = any_job(name, width=48, height=80)
    picture = paint(family, job)[0]
    assert picture.shape == (80, 48, 3)
    assert picture.dtype == np.uint8
    assert family.batch_key(job, "decode") == family.batch_key(any_job(name, width=48, height=80, seed=9), "decode")
    assert family.batch_key(job, "decode") != family.batch_key(any_job(name, width=80, height=48), "decode")


@pytest.mark.parametrize("name", ALL)
def test_only_convolutions_denoise_by_shape(name: str, model: Model) -> None:
    family, convolves = get(name, model), FAMILY.get(name) == "stable_diffusion"
    wide, high = any_job(name, width=80, height=48), any_job(name, width=48, height=80)
    assert (family.batch_key(wide, "denoise") != family.batch_key(high, "denoise")) == convolves


@pytest.mark.parametrize("name", BUILDERS)
def test_very_long_and_odd_prompts_are_cut(name: str, model: Model) -> None:
    odd = any_job(name, prompt="fox " * 25_000, negative_prompt="\x00\ud7ff\U0001f98a<|endoftext|></s>", cfg_scale=2.0)
    assert paint(model(name), odd)[0].std() > 0


@pytest.mark.parametrize("name", BUILDERS)
def test_nothing_asks_for_gradients(name: str, model: Model) -> None:
    """Neither outside of inference mode nor within it."""
    family, job = model(name), any_job(name)
    outside = paint(family, job)[0]
    with torch.inference_mode():
        assert np.array_equal(paint(family, job)[0], outside)
    conditioning = family.encode([job])
    beginning = family.begin(job, torch.Generator().manual_seed(1))
    start = beginning.latent.clone()
    noisy = Noisy(job=job, conditioning=conditioning[0], latent=beginning.latent, sigma=1.0, timestep=500.0)
    clean = family.denoise([noisy])[0].clean
    assert not clean.requires_grad
    assert torch.equal(beginning.latent, start), "the latent was changed in place"


HALVES = [*((name, torch.bfloat16) for name in BUILDERS), ("sdxl", torch.float16)]


@pytest.mark.parametrize(("name", "dtype"), HALVES)
def test_half_precision_paints_nearly_the_same(
    name: str, dtype: torch.dtype, model: Model, checkpoint: Callable[[str], Path]
) -> None:
    """Networks in half, latents in full: what crosses between engine and family does not depend on the type."""
    settings: dict[str, str | int | float | bool] = {"max_sequence_length": T5_LENGTH}
    ref = ModelRef(
        id="a/b",
        revision="1",
        family=FAMILY[name],
        weights=f"path:{checkpoint(name)}",
        settings=settings,
        resident_bytes=1,
    )
    half, job = load_family(ref, CPU, dtype), any_job(name, cfg_scale=2.0, width=32, height=32)
    assert half.begin(job, torch.Generator()).latent.dtype == torch.float32
    assert half.resident_bytes < 0.8 * model(name).resident_bytes
    ours, full = paint(half, job)[0].astype(float), paint(model(name), job)[0].astype(float)
    assert np.abs(ours - full).mean() < 0.3 * full.std()  # another prompt differs by 0.8 of it


def test_unknown_families_are_refused_with_the_names_that_there_are() -> None:
    ref = ModelRef(id="a/b", revision="1", family="dall-e", weights="builtin:none", resident_bytes=1)
    with pytest.raises(ConfigError, match=r"'dall-e' is unknown; choose one of blank, flux, stable_diffusion"):
        load_family(ref, CPU)


def test_outsiders_bring_families_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="mine", value="laterna.families.blank:load", group=traits.GROUP)

    def entry_points(**wanted: Any) -> list[EntryPoint]:
        return [point] if point.matches(**wanted) else []

    monkeypatch.setattr(families, "entry_points", entry_points)
    monkeypatch.setattr(traits, "entry_points", entry_points)
    ref = ModelRef(id="a/b", revision="1", family="mine", weights="builtin:none", resident_bytes=1)
    assert isinstance(load_family(ref, CPU), blank.Blank)
    assert traits.family_names() == ("blank", "flux", "mine", "stable_diffusion")


@pytest.mark.parametrize("value", ["soon", True, -1, float("nan"), float("inf")])
def test_settings_are_checked(value: str | float | bool) -> None:
    with pytest.raises(ConfigError, match=r"settings\.step_seconds of 'test/model'"):
        load("blank", "builtin:none", step_seconds=value)


@pytest.mark.parametrize("value", ["long", True, 0, 1.5])
def test_the_length_of_prompts_is_checked(value: str | float | bool) -> None:
    with pytest.raises(ConfigError, match=r"settings\.max_sequence_length of 'test/model'"):
        load("flux", "builtin:none", max_sequence_length=value)


@given(
    scales=st.lists(st.floats(0, 20), min_size=1, max_size=6),
    values=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_guidance_combines_each_sample_with_its_own_negative(scales: list[float], values: object) -> None:
    """Rows of a mixed batch give, sample by sample, what each would give alone."""
    jobs = [any_job("sd15", cfg_scale=scale) for scale in scales]
    wanted = [scale > 1 for scale in scales]
    rows = Rows.of(jobs, wanted)
    predicted = torch.randn(len(jobs) + sum(wanted), 3, 2, generator=torch.Generator().manual_seed(len(scales)))
    combined = rows.combine(predicted)
    negatives = iter(predicted[len(jobs) :])
    for row, scale in enumerate(scales):
        positive = predicted[row]
        negative = next(negatives) if scale > 1 else positive
        assert torch.allclose(combined[row], negative + scale * (positive - negative), atol=1e-5)
    assert torch.equal(rows.expand(torch.arange(len(jobs)))[len(jobs) :], torch.tensor(rows.guided, dtype=torch.int64))
