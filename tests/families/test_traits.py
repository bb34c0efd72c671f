"""Loaded families say of themselves what the torch-free table says of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from laterna.contracts.traits import TRAITS, most_steps
from laterna.families import FAMILIES
from laterna.families.family import Family
from laterna.samplers import SAMPLERS, get_sampler
from laterna.samplers.noise import DiffusionNoise, FlowNoise, NoiseSchedule
from tests.families.checkpoints import FAMILY, TRAINED
from tests.families.drive import load


def test_the_table_has_every_family() -> None:
    assert set(TRAITS) == set(FAMILIES)


@pytest.mark.parametrize("name", [*FAMILY, "blank"])
def test_samplers_and_grain_are_the_familys_own(name: str, model: Callable[[str], Family]) -> None:
    family = load("blank", "builtin:none") if name == "blank" else model(name)
    traits = TRAITS[FAMILY.get(name, name)]
    assert set(family.samplers) == set(traits.samplers)
    assert family.grain() == traits.grain
    assert (family.adapters is not None) == traits.adapters


NOISES = (
    FlowNoise(),
    FlowNoise(shift=3.0, use_dynamic_shifting=True),
    DiffusionNoise(),
    DiffusionNoise.from_config(TRAINED),
)
FITTING = [
    (name, noise) for name in SAMPLERS for noise in NOISES if name.startswith("flow") == isinstance(noise, FlowNoise)
]


@pytest.mark.parametrize(("name", "noise"), FITTING)
def test_every_sampler_takes_the_most_steps(name: str, noise: NoiseSchedule) -> None:
    schedule = get_sampler(name).schedule(most_steps(name), noise, tokens=4096)
    assert len(schedule.sigmas) == most_steps(name) + 1


def test_a_distilled_sampler_takes_no_more() -> None:
    with pytest.raises(ValueError, match="steps"):
        get_sampler("lcm").schedule(most_steps("lcm") + 1, DiffusionNoise())
