"""Schedules for every step count: falling, finite, and refused where the model cannot tell the steps apart."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.samplers import SAMPLERS, get_sampler
from laterna.samplers.noise import DiffusionNoise, FlowNoise, NoiseSchedule
from laterna.samplers.schedule import Schedule

DIFFUSION = sorted(set(SAMPLERS) - {"flow_euler"})


def lay_out(name: str, steps: int, noise: NoiseSchedule) -> Schedule | str:
    """The schedule, or the reason why there is none."""
    try:
        return get_sampler(name).schedule(steps, noise, tokens=1024)
    except ValueError as refusal:
        return str(refusal)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    steps=st.integers(1, 1000),
    spacing=st.sampled_from(["leading", "trailing", "linspace", None]),
    use_karras=st.booleans(),
    offset=st.integers(0, 1),
)
def test_every_schedule_falls_or_is_refused(
    name: str, steps: int, spacing: Literal["leading", "trailing", "linspace"] | None, use_karras: bool, offset: int
) -> None:
    noise: NoiseSchedule = DiffusionNoise(
        timestep_spacing=spacing, use_karras_sigmas=use_karras, steps_offset=offset, original_inference_steps=500
    )
    if name == "flow_euler":
        noise = FlowNoise(use_dynamic_shifting=use_karras)
    schedule = lay_out(name, steps, noise)
    if isinstance(schedule, str):
        assert schedule.startswith("steps: ")
        assert steps >= 500
        return
    assert schedule.timesteps.shape == (steps,)
    assert schedule.sigmas.shape == (steps + 1,)
    assert schedule.timesteps.dtype == schedule.sigmas.dtype == torch.float32
    assert bool((schedule.sigmas[:-1].diff() < 0).all())
    assert bool((schedule.timesteps.diff() <= 0).all())
    assert 0 <= float(schedule.timesteps[-1]) <= float(schedule.timesteps[0]) <= 1000
    assert 0 <= float(schedule.sigmas[-1]) <= float(schedule.sigmas[-2])
    assert schedule.noise_scale > 0
    assert 0 < schedule.final_scale <= 1


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_refused(name: str, steps: int) -> None:
    with pytest.raises(ValueError, match="steps: "):
        get_sampler(name).schedule(steps, FlowNoise() if name == "flow_euler" else DiffusionNoise())


@pytest.mark.parametrize("name", DIFFUSION)
def test_more_steps_than_the_training_had_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="steps: 1001"):
        get_sampler(name).schedule(1001, DiffusionNoise())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_model_of_the_other_kind_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"sampler: '{name}' works with"):
        get_sampler(name).schedule(4, DiffusionNoise() if name == "flow_euler" else FlowNoise())


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_2m_karras", "unipc"])
def test_multistep_samplers_end_without_noise(name: str) -> None:
    with pytest.raises(ValueError, match="final_sigmas_type"):
        get_sampler(name).schedule(4, DiffusionNoise(final_sigmas_type="sigma_min"))


def test_a_shift_that_depends_on_the_image_needs_its_tokens() -> None:
    with pytest.raises(ValueError, match="tokens: "):
        get_sampler("flow_euler").schedule(4, FlowNoise(use_dynamic_shifting=True))


def test_unknown_samplers_are_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'plms' is unknown; choose one of ddim, dpmpp_2m, dpmpp_2m_karras, euler"):
        get_sampler("plms")


def test_every_sampler_bears_its_name() -> None:
    assert {name: get_sampler(name).name for name in SAMPLERS} == {name: name for name in SAMPLERS}
