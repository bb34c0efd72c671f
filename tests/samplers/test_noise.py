"""Scheduler configs: defaults, what is ignored, and what is refused by name."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from laterna.samplers.noise import DiffusionNoise, FlowNoise, NoiseSchedule, need


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "linear", "num_train_timesteps": 500},
    ],
)
def test_sigmas_are_those_of_the_training(config: dict[str, Any]) -> None:
    noise = NoiseSchedule.from_config(config)
    assert isinstance(noise, DiffusionNoise)
    alphas = diffusers.DDPMScheduler(**config).alphas_cumprod.double().numpy()
    assert np.allclose(noise.sigmas(), np.sqrt((1 - alphas) / alphas), rtol=1e-5)


@pytest.mark.parametrize("scheduler", ["DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "LCM", "PNDM", "DDPM"])
def test_the_saved_config_of_every_diffusion_scheduler_is_read(scheduler: str) -> None:
    config = dict(getattr(diffusers, f"{scheduler}Scheduler")(beta_start=0.001, beta_end=0.01).config)
    noise = need(DiffusionNoise, NoiseSchedule.from_config(config), "any")
    assert (noise.beta_start, noise.beta_end, noise.num_train_timesteps) == (0.001, 0.01, 1000)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistep", "UniPCMultistep"])
def test_the_saved_config_of_every_multistep_scheduler_is_read(scheduler: str) -> None:
    config = dict(getattr(diffusers, f"{scheduler}Scheduler")(use_karras_sigmas=True, steps_offset=1).config)
    noise = need(DiffusionNoise, NoiseSchedule.from_config(config), "any")
    assert (noise.use_karras_sigmas, noise.steps_offset, noise.timestep_spacing) == (True, 1, "linspace")


def test_the_saved_config_of_a_flow_scheduler_is_read() -> None:
    saved = dict(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True).config)
    for config in (saved, {"shift": 3, "use_dynamic_shifting": True, "base_shift": None}):
        assert NoiseSchedule.from_config(config) == FlowNoise(shift=3.0, use_dynamic_shifting=True)


@pytest.mark.parametrize("tokens", [1, 256, 1000, 4096, 9000])
def test_mu_is_a_line_through_both_lengths(tokens: int) -> None:
    assert FlowNoise().mu(tokens) == pytest.approx(calculate_shift(tokens), rel=1e-12)
    other = FlowNoise(base_image_seq_len=10, max_image_seq_len=20, base_shift=1.0, max_shift=2.0)
    assert [other.mu(10), other.mu(20)] == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rescale_betas_zero_snr", True),
        ("thresholding", True),
        ("trained_betas", [0.1, 0.2]),
        ("use_flow_sigmas", True),
        ("use_beta_sigmas", True),
        ("use_exponential_sigmas", True),
        ("interpolation_type", "log_linear"),
        ("timestep_type", "continuous"),
        ("sigma_min", 0.002),
        ("lambda_min_clipped", -5.1),
        ("timestep_scaling", 1.0),
        ("beta_schedule", "squaredcos_cap_v2"),
        ("timestep_spacing", "random"),
        ("final_sigmas_type", "one"),
        ("beta_start", "0.1"),
        ("beta_start", -1.0),
        ("beta_start", float("nan")),
        ("num_train_timesteps", 0),
        ("num_train_timesteps", 10.5),
        ("steps_offset", True),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        NoiseSchedule.from_config({"beta_schedule": "linear", key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shift_terminal", 0.1),
        ("invert_sigmas", True),
        ("stochastic_sampling", True),
        ("time_shift_type", "linear"),
        ("shift", 0.0),
        ("base_image_seq_len", 4096),
    ],
)
def test_what_a_flow_does_not_honour_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        NoiseSchedule.from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", key: value})


def test_null_and_unknown_keys_are_as_if_absent() -> None:
    config = {"_diffusers_version": "0.6.0", "skip_prk_steps": True, "trained_betas": None, "timestep_spacing": None}
    assert NoiseSchedule.from_config({**config, "clip_sample": True}) == DiffusionNoise()
