"""A request that is interrupted anywhere goes on there, elsewhere, and generates what an undisturbed one does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.clock import ManualClock
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import Lease, Note, Progress, Resumed, Spent
from laterna.engine.checkpoints import KEEP_SECONDS, SHARE, Checkpoints
from laterna.engine.snapshot import Identity, Snapshot, State, decode, encode
from laterna.families.caching import Cache
from laterna.families.family import Noisy, Predicted
from tests.engine.toy import MODEL, Heard, Toy, alone, drain, engine, job, order


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Checkpoints]:
    """Saved before every step."""
    checkpoints = Checkpoints(tmp_path, 0)
    yield checkpoints
    checkpoints.close()


def interrupted(checkpoints: Checkpoints, turns: int, name: str = "a", **changes: Any) -> Heard:
    """Another engine did so many turns of the request and was gone."""
    heard = Heard()
    running = engine(Toy(), heard, checkpoints=checkpoints)
    running.submit(order(name, job(**changes)))
    for _ in range(turns):
        running.turn()
    return heard


def resumed(heard: Heard) -> list[Resumed]:
    return [message for message in heard.said if isinstance(message, Resumed)]


def steps(heard: Heard) -> list[int]:
    return [message.step for message in heard.said if isinstance(message, Progress) and message.stage == "denoise"]


def finish(checkpoints: Checkpoints, name: str = "a", plan: str = "plan", **changes: Any) -> Heard:
    """An engine of another process takes the request, after whatever came before."""
    heard = Heard()
    running = engine(Toy(), heard, checkpoints=checkpoints, plan=plan)
    running.submit(order(name, job(**changes)))
    drain(running)
    assert name in heard.completed
    return heard


@pytest.mark.parametrize("sampler", Toy.samplers)
@pytest.mark.parametrize("turns", range(2, 8))
def test_it_goes_on_where_it_was_and_paints_the_same(kept: Checkpoints, sampler: str, turns: int) -> None:
    """The first turn encodes; every sampler, stochastic ones too, at every step of six."""
    interrupted(kept, turns, sampler=sampler)
    heard = finish(kept, sampler=sampler)
    assert [message.step for message in resumed(heard)] == [turns - 1]
    assert steps(heard) == list(range(turns, 7))
    assert np.array_equal(heard.pictures["a"][0], alone(job(sampler=sampler))[0])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_interrupted_again_and_again_it_still_paints_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Several samples, each engine dies after any number of turns; siblings may be decoded, running or not begun."""
    wanted: dict[str, Any] = {
        "sampler": data.draw(st.sampled_from(Toy.samplers)),
        "steps": data.draw(st.integers(1, 8)),
        "count": data.draw(st.integers(1, 3)),
    }
    checkpoints = Checkpoints(tmp_path_factory.mktemp("kept"), 0)
    for turns in data.draw(st.lists(st.integers(1, 9), max_size=5)):
        if interrupted(checkpoints, turns, **wanted).completed:
            break
    heard = finish(checkpoints, **wanted)
    checkpoints.close()
    for index, picture in alone(job(**wanted)).items():
        assert np.array_equal(heard.pictures["a"][index], picture)


class Reusing(Toy):
    """After each computed step it reuses twice what the last two predicted, which leaves its mark on the picture."""

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        found = super().denoise(samples)
        return [self._reused(sample, made) for sample, made in zip(samples, found, strict=True)]

    def _reused(self, sample: Noisy, made: Predicted) -> Predicted:
        cache = sample.cache
        if sample.job.acceleration == "none" or sample.last:
            return made
        if cache is None:
            return Predicted(clean=made.clean, cache=Cache(probe=made.clean, rest=made.clean, time=sample.timestep))
        if cache.skips == 2:
            return Predicted(clean=made.clean, cache=cache.followed_by(made.clean, made.clean, sample.timestep))
        clean = cache.rest_at(sample.timestep)
        return Predicted(clean=clean, cache=replace(cache, skips=cache.skips + 1), share=0.2)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m"])
@pytest.mark.parametrize("turns", range(2, 12))
def test_features_that_are_reused_are_saved_too(kept: Checkpoints, sampler: str, turns: int) -> None:
    wanted = job(sampler=sampler, steps=10, acceleration="high")
    undisturbed, first, second = Heard(), Heard(), Heard()
    for heard, checkpoints, most in ((undisturbed, None, 99), (first, kept, turns), (second, kept, 99)):
        running = engine(Reusing(), heard, checkpoints=checkpoints)
        running.submit(order("a", wanted))
        for _ in range(most):
            running.turn()
    assert [message.step for message in resumed(second)] == [turns - 1]
    assert np.array_equal(second.pictures["a"][0], undisturbed.pictures["a"][0])
    assert not np.array_equal(second.pictures["a"][0], alone(job(sampler=sampler, steps=10))[0])


def test_what_was_spent_is_told_with_the_lease_that_spent_it(kept: Checkpoints) -> None:
    interrupted(kept, 4)
    (message,) = resumed(finish(kept))
    assert message.former == Lease(request_id="a", token="a")
    assert {spent.stage: spent.calls for spent in message.spent} == {"encode": 1, "denoise": 3}


def test_what_is_spent_later_does_not_count_what_was_spent_before(kept: Checkpoints) -> None:
    interrupted(kept, 4)
    heard = finish(kept)
    billed = sum(spent.device_ns for spent in heard.completed["a"])
    assert billed == sum(seen.device_ns for seen in heard.observed)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 9}, "job"),
        ({"model": ModelRef(id="toy", revision="2", family="toy", weights="x", resident_bytes=1)}, "model"),
    ],
)
def test_what_was_saved_of_another_job_or_model_is_not_used(
    kept: Checkpoints, changes: dict[str, Any], named: str
) -> None:
    interrupted(kept, 4)
    heard = Heard()
    running = engine(Toy(), heard, checkpoints=kept)
    model = changes.pop("model", MODEL)
    running.submit(order("a", job(**changes), model=model))
    drain(running)
    assert not resumed(heard)
    assert any(named in message.message for message in heard.said if isinstance(message, Note))
    assert np.array_equal(heard.pictures["a"][0], alone(job(**changes))[0])


def test_what_was_saved_under_another_plan_is_not_used(kept: Checkpoints) -> None:
    interrupted(kept, 4)
    heard = finish(kept, plan="other threads")
    assert not resumed(heard)
    assert any("plan changed" in message.message for message in heard.said if isinstance(message, Note))


@pytest.mark.parametrize("torn", ["empty", "half", "flipped", "grown"])
def test_a_torn_file_means_starting_over(kept: Checkpoints, tmp_path: Path, torn: str) -> None:
    interrupted(kept, 4)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"empty": b"", "half": data[:middle], "flipped": flipped, "grown": data + b"x"}[torn])
    heard = finish(kept)
    assert not resumed(heard)
    assert np.array_equal(heard.pictures["a"][0], alone(job())[0])


def test_a_folder_that_cannot_be_written_costs_no_request(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    checkpoints = Checkpoints(folder, 0)
    folder.rmdir()
    folder.write_text("no folder")
    finish(checkpoints)
    checkpoints.drop("a")
    checkpoints.close()


def test_taken_back_it_is_saved_and_goes_on(tmp_path: Path) -> None:
    """With a cadence that would not have saved it."""
    checkpoints = Checkpoints(tmp_path, 3600)
    heard = Heard()
    running = engine(Toy(), heard, checkpoints=checkpoints)
    running.submit(order("a", job()))
    for _ in range(4):
        running.turn()
    running.cancel(Lease(request_id="a", token="a"), waits_again=True)
    assert heard.failures()["a"].retry
    checkpoints.flush()
    assert [message.step for message in resumed(finish(checkpoints))] == [3]
    checkpoints.close()


def test_an_engine_that_stops_saves_all_that_runs(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 3600)
    running = engine(Toy(), Heard(), checkpoints=checkpoints)
    for name in "abc":
        running.submit(order(name, job(steps=20, count=2)))
    for _ in range(10):
        running.turn()
    running.save_all()
    checkpoints.close()
    assert {path.stem for path in tmp_path.iterdir()} == set("abc")


def test_a_run_is_saved_once_a_period(tmp_path: Path) -> None:
    clock, checkpoints = ManualClock(), Checkpoints(tmp_path, 1.0)
    running = engine(Toy(), Heard(), clock=clock, checkpoints=checkpoints)
    running.submit(order("a", job(steps=40)))
    saved = []
    for _ in range(30):
        running.turn()
        clock.advance(0.3)
        checkpoints.flush()
        found = checkpoints.find("a")
        saved.append(found.samples[0].step if found else 0)
    checkpoints.close()
    assert saved[:4] == [0, 0, 0, 0]
    assert len(set(saved)) == pytest.approx(30 * 0.3 / 1.2, abs=1)


def test_saving_takes_its_share_of_the_time_and_no_more(tmp_path: Path) -> None:
    """The interval grows with what a save costs and with those that run."""
    checkpoints = Checkpoints(tmp_path, 1.0)
    big = torch.zeros(4_000_000)
    for number in range(3):
        checkpoints.save(snapshot(f"r{number}", big))
    checkpoints.flush()
    one, many = checkpoints.interval_s(1), checkpoints.interval_s(50)
    checkpoints.close()
    assert one >= 1.0
    assert many > one
    assert many * SHARE / 50 > 1e-4  # seconds that copying and writing 16 MB takes at the very least


def snapshot(name: str, latent: torch.Tensor) -> Snapshot:
    state = State(
        step=1,
        latent=latent,
        history={"steps": torch.ones((), dtype=torch.int64), "denoised": latent},
        generator=torch.Generator().get_state(),
    )
    return Snapshot(
        lease=Lease(request_id=name, token="t"),
        identity=Identity(job="j", model="m", plan="p"),
        spent=[Spent(stage="denoise", calls=1, device_ns=5)],
        samples={0: state, 2: replace(state, step=3)},
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_snapshot_comes_back_as_it_was(dtype: torch.dtype) -> None:
    given = snapshot("a", torch.randn(4, 8, 8).to(dtype).transpose(0, 2))
    found = decode(b"".join(encode(given)))
    assert (found.lease, found.identity, found.spent) == (given.lease, given.identity, given.spent)
    assert {index: state.step for index, state in found.samples.items()} == {0: 1, 2: 3}
    assert torch.equal(found.samples[0].latent, given.samples[0].latent)
    assert torch.equal(found.samples[2].history["denoised"], given.samples[2].history["denoised"])
    assert torch.equal(found.samples[0].generator, given.samples[0].generator)


def test_dropped_it_is_gone_and_finished_it_stays_for_a_while(kept: Checkpoints, tmp_path: Path) -> None:
    for name in "ab":
        interrupted(kept, 4, name)
    kept.drop("a")
    kept.drop("b", after_s=3600)
    wait_until(lambda: {path.stem for path in tmp_path.iterdir()} == {"b"})
    assert kept.find("a") is None
    assert kept.find("b") is not None
    kept.drop("b", after_s=0.05)
    wait_until(lambda: not list(tmp_path.iterdir()))


def test_what_nobody_came_back_to_goes(tmp_path: Path) -> None:
    old, new = tmp_path / "old.state", tmp_path / "new.state"
    for path in (old, new):
        path.write_bytes(b"x")
    long_ago = time.time() - KEEP_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    Checkpoints(tmp_path, 1.0).close()
    assert list(tmp_path.iterdir()) == [new]


def wait_until(so: Any) -> None:
    deadline = time.monotonic() + 30
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
