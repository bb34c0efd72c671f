"""Every sampler follows its diffusers scheduler over whole trajectories, and the comparison notices what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from laterna.samplers import get_sampler
from laterna.samplers.euler import EULER
from laterna.samplers.noise import NoiseSchedule
from laterna.samplers.sampler import History, Sampler
from laterna.samplers.updates import approach
from tests.samplers.trajectories import TOLERANCE, Trajectory, by_diffusers, by_sampler, error

SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
LINEAR = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
}
PRESERVING = {"ddim", "dpmpp_2m", "unipc", "lcm"}
STOCHASTIC = {"euler_ancestral", "lcm"}


@dataclass(frozen=True, kw_only=True)
class Case:
    sampler: str
    steps: int
    prediction: str = "epsilon"
    config: dict[str, Any]
    tokens: int | None = None

    def __str__(self) -> str:
        shown = "-".join(f"{v}" for k, v in self.config.items() if k not in SCALED or k == "beta_schedule")
        return f"{self.sampler}-{self.steps}-{self.prediction}-{shown}-{self.tokens}"


def reference(case: Case) -> Trajectory:
    kind = getattr(diffusers, SCHEDULERS[case.sampler])
    trained: dict[str, Any] = {"prediction_type": case.prediction}
    trained |= {"clip_sample": False} if case.sampler in {"ddim", "lcm"} else {}
    scheduler = kind.from_config(case.config if case.sampler == "flow_euler" else {**case.config, **trained})
    extra: dict[str, Any] = {"generator": generator()} if case.sampler in STOCHASTIC else {}
    if case.sampler == "flow_euler":
        lengths = [case.config.get(key, default) for key, default in SHIFTS]
        mu = None if case.tokens is None else calculate_shift(case.tokens, *lengths)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / case.steps, case.steps), mu=mu)
    else:
        scheduler.set_timesteps(case.steps)
    return by_diffusers(scheduler, **extra)


SHIFTS = (("base_image_seq_len", 256), ("max_image_seq_len", 4096), ("base_shift", 0.5), ("max_shift", 1.15))


def ours(case: Case, sampler: Sampler | None = None, config: dict[str, Any] | None = None) -> Trajectory:
    sampler = sampler or get_sampler(case.sampler)
    config = {"_class_name": SCHEDULERS[case.sampler], **(case.config if config is None else config)}
    schedule = sampler.schedule(case.steps, NoiseSchedule.from_config(config), tokens=case.tokens)
    preserving = case.sampler in PRESERVING
    prediction = "flow" if case.sampler == "flow_euler" else case.prediction
    return by_sampler(sampler, schedule, prediction, preserving=preserving, generator=generator())


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def diffusion_cases() -> list[Case]:
    """Step counts x spacings x predictions x Karras, for each sampler that knows them."""
    cases = []
    for sampler in ("euler", "euler_ancestral", "dpmpp_2m", "unipc"):
        for spacing in ("leading", "trailing", "linspace", None):
            for use_karras in (False, True) if sampler != "euler_ancestral" else (False,):
                for steps in (1, 2, 3, 7, 14, 15, 25, 60):
                    config = {**SCALED, "timestep_spacing": spacing, "use_karras_sigmas": use_karras}
                    prediction = "v_prediction" if steps % 2 else "epsilon"
                    given = {key: value for key, value in config.items() if value is not None}
                    cases.append(Case(sampler=sampler, steps=steps, prediction=prediction, config=given))
    return cases


def ddim_cases() -> list[Case]:
    """`leading` with any step count, `trailing` where the count divides the training timesteps."""
    layouts = [("leading", steps) for steps in (1, 2, 3, 7, 20, 30, 50)] + [("trailing", n) for n in (1, 4, 8, 25, 50)]
    return [
        Case(
            sampler="ddim",
            steps=steps,
            prediction=prediction,
            config={**SCALED, "timestep_spacing": spacing, "set_alpha_to_one": to_one},
        )
        for spacing, steps in layouts
        for prediction in ("epsilon", "v_prediction")
        for to_one in (False, True)
    ]


def lcm_cases() -> list[Case]:
    short = {**SCALED, "num_train_timesteps": 50, "original_inference_steps": 50}  # reaches timestep 1
    return [
        Case(sampler="lcm", steps=steps, prediction=prediction, config=config)
        for config in (SCALED, short)
        for steps in (1, 2, 4, 8, 25)
        for prediction in ("epsilon", "v_prediction")
    ]


def flow_cases() -> list[Case]:
    dynamic = {"use_dynamic_shifting": True, "shift": 3.0}
    other = {**dynamic, "base_image_seq_len": 64, "max_image_seq_len": 1024, "base_shift": 0.2, "max_shift": 0.9}
    cases = [Case(sampler="flow_euler", steps=n, config={"shift": s}) for n in (1, 2, 4, 28) for s in (1.0, 3.0)]
    return cases + [
        Case(sampler="flow_euler", steps=steps, config=config, tokens=tokens)
        for steps in (1, 4, 28, 50)
        for tokens in (64, 1024, 4096)
        for config in (dynamic, other)
    ]


EXTRA = [
    Case(sampler=sampler, steps=20, prediction=prediction, config=config)
    for sampler in ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc")
    for prediction in ("epsilon", "v_prediction")
    for config in ({}, SCALED, LINEAR, {**SCALED, "steps_offset": 0, "num_train_timesteps": 400})
] + [
    Case(sampler="euler", steps=9, config={**SCALED, "final_sigmas_type": "sigma_min", "use_karras_sigmas": karras})
    for karras in (False, True)
]
CASES = [*diffusion_cases(), *ddim_cases(), *lcm_cases(), *flow_cases(), *EXTRA]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_follows_the_reference_at_every_step(case: Case) -> None:
    mine, theirs = ours(case), reference(case)
    assert torch.allclose(mine.timesteps, theirs.timesteps.float(), rtol=1e-6, atol=1e-4)
    assert error(mine, theirs) <= TOLERANCE


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("steps", [7, 30])
def test_ddim_steps_to_the_next_timestep_whatever_the_spacing(spacing: str, steps: int) -> None:
    """The reference is DPM-Solver++ of first order, which is DDIM, made to visit DDIM's timesteps."""
    case = Case(sampler="ddim", steps=steps, config={**SCALED, "timestep_spacing": spacing})
    schedule = get_sampler("ddim").schedule(steps, NoiseSchedule.from_config(case.config))
    first_order = diffusers.DPMSolverMultistepScheduler.from_config({**case.config, "solver_order": 1})
    first_order.set_timesteps(timesteps=[int(t) for t in schedule.timesteps])
    assert error(ours(case), by_diffusers(first_order)) <= TOLERANCE


@pytest.mark.parametrize("steps", [1, 6, 20])
def test_karras_by_name_is_karras_by_config(steps: int) -> None:
    case = Case(sampler="dpmpp_2m", steps=steps, config={**SCALED, "use_karras_sigmas": True})
    by_name = ours(case, get_sampler("dpmpp_2m_karras"), SCALED)
    assert error(by_name, reference(case)) <= TOLERANCE


# --- The comparison has power: each of these is wrong in one thing, and is seen.


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A sampler with another's schedule and one mistake in its step."""

    right: Sampler
    mistake: str
    name: str = "wrong"

    @property
    def stochastic(self) -> bool:
        return self.right.stochastic

    def schedule(self, *args: Any, **options: Any) -> Any:
        return self.right.schedule(*args, **options)

    def start(self, x: torch.Tensor) -> History:
        return self.right.start(x)

    def step(
        self,
        history: History,
        x: torch.Tensor,
        denoised: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        *,
        timestep: torch.Tensor,
        noise: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, History]:
        if self.mistake == "first order":
            return approach(x, denoised, sigma, sigma_next), history
        if self.mistake == "swapped sigmas":
            sigma, sigma_next = sigma_next.clamp(min=0.01), sigma
        if self.mistake == "forgets":
            history = replace(history, steps=torch.zeros_like(history.steps))
        if self.mistake == "other noise" and noise is not None:
            noise = noise.flip(-1)
        if self.mistake == "no boundary":
            timestep = timestep + 1000
        return self.right.step(history, x, denoised, sigma, sigma_next, timestep=timestep, noise=noise)


MISTAKES = [(name, "swapped sigmas") for name in SCHEDULERS]
MISTAKES += [(name, mistake) for name in ("dpmpp_2m", "unipc") for mistake in ("first order", "forgets")]
MISTAKES += [(name, "other noise") for name in sorted(STOCHASTIC)] + [("lcm", "no boundary")]


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_wrong_step_is_noticed(name: str, mistake: str, prediction: str) -> None:
    configs: dict[str, dict[str, Any]] = {"flow_euler": {"shift": 3.0}, "lcm": lcm_cases()[-1].config}
    case = Case(sampler=name, steps=20, prediction=prediction, config=configs.get(name, SCALED))
    theirs = reference(case)
    assert error(ours(case), theirs) <= TOLERANCE
    assert error(ours(case, Wrong(right=get_sampler(name), mistake=mistake)), theirs) > 10 * TOLERANCE


def test_unipc_without_its_corrector_is_noticed() -> None:
    case = Case(sampler="unipc", steps=20, config=SCALED)
    assert error(ours(case, get_sampler("dpmpp_2m")), reference(case)) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dpmpp_2m", {"use_karras_sigmas": True}),
        ("unipc", {"timestep_spacing": "leading"}),
        ("euler", {"beta_end": 0.0121}),
        ("ddim", {"steps_offset": 0}),
        ("ddim", {"set_alpha_to_one": False}),
        ("lcm", {"original_inference_steps": 49}),
        ("flow_euler", {"shift": 3.01}),
    ],
)
def test_a_wrong_schedule_is_noticed(name: str, change: dict[str, Any]) -> None:
    config = {"shift": 3.0} if name == "flow_euler" else SCALED
    case = Case(sampler=name, steps=8, config=config)
    theirs = reference(case)
    assert error(ours(case), theirs) <= TOLERANCE
    assert error(ours(case, config={**config, **change}), theirs) > 10 * TOLERANCE


def test_another_sampler_is_noticed() -> None:
    case = Case(sampler="dpmpp_2m", steps=20, config=SCALED)
    theirs = reference(case)
    assert error(ours(case, EULER), theirs) > 10 * TOLERANCE
