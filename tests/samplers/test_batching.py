"""A sample does not know its neighbours: mixed batches, histories that come and go, arguments left as they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.samplers import SAMPLERS, get_sampler
from laterna.samplers.noise import NoiseSchedule
from laterna.samplers.sampler import History, Sampler, restore, stack, tensors, unstack
from laterna.samplers.schedule import Schedule
from tests.samplers.trajectories import SHAPE, clean

DIFFUSION = NoiseSchedule.from_config({"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"})
FLOW = NoiseSchedule.from_config({"shift": 3.0, "use_dynamic_shifting": True})


@dataclass(kw_only=True)
class Walker:
    """One sample and all that it owns."""

    sampler: Sampler
    schedule: Schedule
    seed: int
    step: int = 0
    latent: torch.Tensor = field(init=False)
    history: History = field(init=False)
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.latent = torch.randn(SHAPE, generator=self.generator) * self.schedule.noise_scale
        self.history = self.sampler.start(self.latent)

    @property
    def finished(self) -> bool:
        return self.step == len(self.schedule.timesteps)


def walker(name: str, steps: int, seed: int) -> Walker:
    sampler = get_sampler(name)
    noise = FLOW if name == "flow_euler" else DIFFUSION
    schedule = sampler.schedule(steps, noise, tokens=64 + seed % 1000)
    return Walker(sampler=sampler, schedule=schedule, seed=seed)


def advance(walkers: list[Walker], prediction: str) -> None:
    """One call for all, each at its own step."""
    sampler = walkers[0].sampler
    x = torch.stack([w.latent for w in walkers])
    sigma = torch.stack([w.schedule.sigmas[w.step] for w in walkers])
    sigma_next = torch.stack([w.schedule.sigmas[w.step + 1] for w in walkers])
    timestep = torch.stack([w.schedule.timesteps[w.step] for w in walkers])
    noise = torch.stack([torch.randn(SHAPE, generator=w.generator) for w in walkers]) if sampler.stochastic else None
    denoised, history = clean(x, sigma, timestep, prediction), stack([w.history for w in walkers])
    given = {**tensors(history), "x": x, "denoised": denoised, "sigma": sigma, "sigma_next": sigma_next}
    before = {name: tensor.clone() for name, tensor in given.items()}
    latents, histories = sampler.step(history, x, denoised, sigma, sigma_next, timestep=timestep, noise=noise)
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.items()), "an argument was changed in place"
    for w, latent, remembered in zip(walkers, latents, unstack(histories), strict=True):
        w.latent, w.history, w.step = latent.clone(), remembered, w.step + 1


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    plans=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=2, max_size=7),
    order=st.randoms(use_true_random=False),
    velocity=st.booleans(),
)
def test_a_sample_does_not_know_its_neighbours(
    name: str, plans: list[tuple[int, int]], order: Random, velocity: bool
) -> None:
    """Samples of any step count join at any time, wait and are shuffled; each ends, bit for bit, as it does alone."""
    prediction = "flow" if name == "flow_euler" else "v_prediction" if velocity else "epsilon"
    alone = [walker(name, steps, seed) for seed, (steps, _) in enumerate(plans)]
    for lonely in alone:
        while not lonely.finished:
            advance([lonely], prediction)
    mixed = [walker(name, steps, seed) for seed, (steps, _) in enumerate(plans)]
    joins = [joined for _, joined in plans]
    tick = 0
    while not all(w.finished for w in mixed):
        present = [w for w, joined in zip(mixed, joins, strict=True) if joined <= tick and not w.finished]
        order.shuffle(present)
        chosen = present[: order.randint(1, len(present))] if present else []
        if chosen:
            advance(chosen, prediction)
        tick += 1
    for lonely, social in zip(alone, mixed, strict=True):
        assert torch.equal(lonely.latent, social.latent)
        assert all(torch.equal(a, b) for a, b in zip(fields(lonely), fields(social), strict=True))


def fields(w: Walker) -> list[torch.Tensor]:
    return list(tensors(w.history).values())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_histories_survive_stacking_and_storing(name: str) -> None:
    walkers = [walker(name, 6, seed) for seed in range(3)]
    for count in (3, 2, 1):
        advance(walkers[:count], "flow" if name == "flow_euler" else "epsilon")
    histories = [w.history for w in walkers]
    for w, back in zip(walkers, unstack(stack(histories)), strict=True):
        assert type(back) is type(w.history)
        assert all(torch.equal(a, b) for a, b in zip(tensors(back).values(), fields(w), strict=True))
        stored = {key: tensor.clone() for key, tensor in tensors(w.history).items()}
        restored = restore(w.sampler.start(w.latent), stored)
        assert all(torch.equal(a, b) for a, b in zip(tensors(restored).values(), fields(w), strict=True))
    assert [int(w.history.steps) for w in walkers] == [3, 2, 1]


def test_an_unstacked_history_keeps_no_batch_alive() -> None:
    histories = unstack(stack([walker("unipc", 4, seed).history for seed in range(8)]))
    for tensor in tensors(histories[0]).values():
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_histories_of_different_samplers_do_not_mix() -> None:
    ours, theirs = walker("unipc", 4, 0), walker("ddim", 4, 0)
    with pytest.raises(ValueError, match="histories: cannot stack"):
        stack([ours.history, theirs.history])
    with pytest.raises(ValueError, match="none at all"):
        stack([])
    with pytest.raises(ValueError, match="were not stored from"):
        restore(ours.history, tensors(theirs.history))
    one = torch.ones(1)
    with pytest.raises(TypeError, match="pass what start"):
        ours.sampler.step(stack([theirs.history]), ours.latent[None], ours.latent[None], one, one / 2, timestep=one)


@pytest.mark.parametrize("name", [n for n in sorted(SAMPLERS) if get_sampler(n).stochastic])
def test_stochastic_samplers_ask_for_noise(name: str) -> None:
    w, one = walker(name, 4, 0), torch.ones(1)
    with pytest.raises(ValueError, match="needs unit noise"):
        w.sampler.step(stack([w.history]), w.latent[None], w.latent[None], one, one / 2, timestep=one)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_latents_keep_their_type_and_shape(name: str, kind: torch.dtype) -> None:
    """Token sequences as well as images, whatever the precision."""
    sampler, x = get_sampler(name), torch.randn(3, 5, 7, dtype=kind)
    history = stack([sampler.start(row) for row in x])
    sigma, sigma_next = torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0.5, 0.2, 0.0])
    for _ in range(3):
        at = torch.tensor([900.0, 400.0, 100.0])
        x, history = sampler.step(history, x, x * 0.5, sigma, sigma_next, timestep=at, noise=torch.zeros_like(x))
        assert x.dtype == kind
        assert x.shape == (3, 5, 7)
        assert bool(torch.isfinite(x).all())
        sigma, sigma_next = sigma * 0.5, sigma_next * 0.5
