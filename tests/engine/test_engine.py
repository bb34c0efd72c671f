"""The engine's promises: whatever the mix, each request gets its own picture, its own failure and its own bill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.clock import ManualClock, SystemClock
from laterna.contracts.generation import Lora, ModelRef, TextToImage
from laterna.contracts.messages import Lease, Progress, Started
from laterna.engine.engine import Engine
from laterna.engine.metering import divide
from laterna.engine.residency import Residency
from laterna.errors import MissingWeights, ModelTooLarge
from laterna.families.family import Family, Picture
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy, Shares
from tests.engine.toy import MODEL, Heard, Toy, alone, drain, engine, job, order

jobs = st.builds(
    job,
    prompt=st.text(min_size=1, max_size=5).map(lambda text: "p" + text),
    steps=st.integers(1, 12),
    seed=st.integers(0, 2**40),
    count=st.integers(1, 3),
    sampler=st.sampled_from(Toy.samplers),
    width=st.sampled_from([16, 32]),
    height=st.sampled_from([16, 32]),
    cfg_scale=st.sampled_from([1.0, 3.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(jobs, st.integers(0, 15), st.booleans()), min_size=1, max_size=8))
def test_a_sample_does_not_know_its_neighbours(mix: list[tuple[TextToImage, int, bool]]) -> None:
    """Requests join at any time, some are cancelled; every other one's pictures equal those of a solo run."""
    heard = Heard()
    running = engine(Toy(), heard)
    joins = sorted(enumerate(mix), key=lambda item: item[1][1])
    turn = 0
    cancelled = set()
    while joins or running.turn():
        while joins and joins[0][1][1] <= turn:
            number, (generation, _, cancel) = joins.pop(0)
            running.submit(order(str(number), generation))
            if cancel:
                cancelled.add(str(number))
        if turn == 8:
            for name in cancelled:
                running.cancel(Lease(request_id=name, token=name))
        turn += 1
    for number, (generation, _, _) in enumerate(mix):
        name = str(number)
        assert (name in heard.completed) != (name in heard.failures())
        if name in heard.completed:
            for index, picture in alone(generation).items():
                assert np.abs(picture.astype(int) - heard.pictures[name][index].astype(int)).max() <= 1


def test_requests_share_calls_and_join_between_steps() -> None:
    toy, heard = Toy(), Heard()
    running = engine(toy, heard)
    running.submit(order("first", job(steps=10)))
    for _ in range(5):
        running.turn()
    running.submit(order("second", job("y", steps=4, seed=5)))
    drain(running)
    assert 2 in toy.batches
    assert toy.batches[0] == 1
    assert list(heard.completed) == ["second", "first"]


def test_the_nth_picture_uses_the_nth_seed() -> None:
    three, second = alone(job(seed=7, count=3)), alone(job(seed=8))
    assert np.array_equal(three[1], second[0])
    assert not np.array_equal(three[0], three[1])


def test_a_bad_sample_fails_alone() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    for name, prompt in (("a", "good"), ("b", "bad"), ("c", "fine")):
        running.submit(order(name, job(prompt, count=2)))
    drain(running)
    assert set(heard.completed) == {"a", "c"}
    assert heard.failures()["b"].code == "sample_failed"
    assert "the network broke" in heard.failures()["b"].message
    assert np.array_equal(heard.pictures["a"][0], alone(job("good"))[0])


def test_a_sample_that_becomes_nan_fails_alone() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", job("good")))
    running.submit(order("b", job("nan")))
    drain(running)
    assert set(heard.completed) == {"a"}
    assert set(heard.failures()) == {"b"}


def test_cancel_takes_effect_at_the_next_step_and_bills_what_was_used() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", job(steps=50)))
    for _ in range(6):
        running.turn()
    running.cancel(Lease(request_id="a", token="a"))
    assert not running.turn()
    failed = heard.failures()["a"]
    assert failed.code == "client_cancelled"
    assert {spent.stage for spent in failed.spent} == {"encode", "denoise"}
    assert (failed.done, failed.steps) == (5, 50)


@settings(max_examples=40, deadline=None)
@given(jobs, st.integers(0, 40))
def test_steps_done_are_told_of_all_samples_together(generation: TextToImage, turns: int) -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", generation))
    for _ in range(turns):
        running.turn()
    running.cancel(Lease(request_id="a", token="a"))
    for failed in heard.failures().values():
        assert 0 <= failed.done <= failed.steps
        done = [m.step for m in heard.said if isinstance(m, Progress) and m.stage == "denoise"]
        assert failed.done >= generation.count * max(done, default=0), "progress is that of the slowest sample"
        assert (failed.done == 0) == (turns == 0 or not done)


def test_a_stale_lease_cancels_nothing() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", job()))
    running.cancel(Lease(request_id="a", token="other"))
    drain(running)
    assert set(heard.completed) == {"a"}


def test_progress_counts_every_step_and_starts_once() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", job(steps=5, count=2)))
    drain(running)
    assert len([m for m in heard.said if isinstance(m, Started)]) == 1
    steps = [m.step for m in heard.said if isinstance(m, Progress) and m.stage == "denoise"]
    assert steps == [1, 2, 3, 4, 5]


def test_previews_come_only_when_somebody_watches() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("a", job(steps=30)))
    running.submit(order("b", job(steps=30, previews=True)))
    drain(running)
    assert {m.lease.request_id for m in heard.previews} == {"b"}


def test_device_time_adds_up() -> None:
    """What requests are billed for sums to what the calls took, to the nanosecond."""
    heard = Heard()
    running = engine(Toy(), heard)
    for number in range(7):
        running.submit(order(str(number), job(steps=number + 1, seed=number, cfg_scale=1.0 + number)))
    drain(running)
    billed = sum(spent.device_ns for bill in heard.completed.values() for spent in bill)
    assert billed == sum(seen.device_ns for seen in heard.observed)


@given(st.integers(0, 10**12), st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_shares_sum_to_the_whole(device_ns: int, work: list[int]) -> None:
    shares = divide(device_ns, work)
    assert sum(shares) == device_ns
    assert all(abs(share - device_ns * w / sum(work)) <= 1 for share, w in zip(shares, work, strict=True))


class TwoModels:
    """Loads a toy per id, and counts."""

    def __init__(self) -> None:
        self.loads: list[str] = []

    def __call__(self, ref: ModelRef) -> Family:
        if ref.id == "missing":
            raise MissingWeights("no such weights: put them there")
        self.loads.append(ref.id)
        return Toy()


def _two_models(budget: int) -> tuple[TwoModels, Heard, object]:
    loader, heard, clock = TwoModels(), Heard(), SystemClock()
    residency = Residency(loader, budget, clock)
    running = Engine(residency, Policy(clock, CostModel(), Shares()), clock, heard)
    for name in ("one", "two", "one2"):
        ref = ModelRef(id=name[:3], revision="1", family="toy", weights="builtin:none", resident_bytes=1000)
        running.submit(order(name, job(), model=ref))
    drain(running)
    return loader, heard, residency


def test_models_stay_while_they_fit() -> None:
    loader, heard, _ = _two_models(budget=2000)
    assert sorted(loader.loads) == ["one", "two"]
    assert len(heard.completed) == 3


def test_models_that_do_not_fit_together_take_turns() -> None:
    loader, heard, _ = _two_models(budget=1500)
    assert set(loader.loads) == {"one", "two"}
    assert len(heard.completed) == 3


def test_a_model_that_waits_for_room_gets_it_while_another_stays_busy() -> None:
    """Newcomers of the resident model keep arriving; the request for the other comes through all the same."""
    clock, heard = ManualClock(), Heard()
    running = Engine(Residency(TwoModels(), 1500, clock), Policy(clock, CostModel(), Shares()), clock, heard)
    for turn in range(2000):
        if turn % 8 == 0:
            name = f"a{turn}"
            running.submit(order(name, job(steps=20), model=_ref("one"), created_us=clock.now_us()))
        if turn == 10:
            running.submit(order("b", job(steps=20), model=_ref("two"), created_us=clock.now_us()))
        running.turn()
        clock.advance(0.1)
        if "b" in heard.completed:
            return
    raise AssertionError("the other model was starved")


def _ref(name: str) -> ModelRef:
    return ModelRef(id=name, revision="1", family="toy", weights="builtin:none", resident_bytes=1000)


class BlindToy(Toy):
    """Its previews fail: a single picture is decoded before the end."""

    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        if float(x.abs().max()) < 100 and jobs[0].previews and self.batches and len(self.batches) < 12:
            raise RuntimeError("out of memory")
        return super().decode(x, jobs)


def test_a_preview_that_fails_costs_nobody_a_request() -> None:
    heard, toy = Heard(), BlindToy()
    running = engine(toy, heard)
    running.submit(order("watched", job(steps=12, previews=True)))
    running.submit(order("neighbour", job("y", steps=3)))
    drain(running)
    assert set(heard.completed) == {"watched", "neighbour"}


def test_a_model_that_fits_nowhere_fails_its_requests_only() -> None:
    heard = Heard()
    running = engine(Toy(), heard, budget=1000)
    big = ModelRef(id="big", revision="1", family="toy", weights="builtin:none", resident_bytes=10**12)
    running.submit(order("a", job(), model=big))
    running.submit(order("b", job(), model=MODEL))
    drain(running)
    assert heard.failures()["a"].code == "model_too_large"
    assert "memory_gb" in heard.failures()["a"].message
    assert set(heard.completed) == {"b"}


def test_a_model_is_counted_as_wide_as_the_device_loads_it() -> None:
    clock = SystemClock()
    assert Residency(TwoModels(), 1000, clock).load(_ref("one"), ()) is not None
    with pytest.raises(ModelTooLarge):
        Residency(TwoModels(), 1999, clock, lambda ref: 2).load(_ref("one"), ())


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_calls_tell_how_many_of_their_samples_have_adapters() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("plain", job(steps=2)))
    running.submit(order("worn", job(steps=2, count=2, loras=(Lora(path="a/b", digest="0"),))))
    drain(running)
    assert {(seen.stage, seen.batch, seen.adapters) for seen in heard.observed} <= {
        ("encode", 3, 2), ("encode", 1, 0), ("encode", 2, 2),
        ("denoise", 3, 2), ("denoise", 1, 0), ("denoise", 2, 2),
        ("decode", 3, 0), ("decode", 1, 0), ("decode", 2, 0),
    }  # fmt: skip
    assert sum(seen.adapters for seen in heard.observed if seen.stage == "denoise") == 4


def test_calls_that_follow_one_another_tell_what_passed_between_them() -> None:
    heard = Heard()
    running = engine(Toy(), heard)
    for round_ in range(2):
        running.submit(order(str(round_), job(steps=3)))
        drain(running)
    after = [seen.between_ns is not None and seen.between_ns >= 0 for seen in heard.observed]
    assert after == 2 * [False, True, True, True, True], "the first call of each round came after a rest"
