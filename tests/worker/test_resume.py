"""A worker that is killed at any step of a real model's run: the next one goes on there and paints the same pixels."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from laterna.catalog.catalog import Catalog
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import (
    Assign,
    Cancel,
    Failed,
    Finished,
    FromWorker,
    Lease,
    Note,
    Progress,
    Resumed,
    Started,
    Stop,
)
from laterna.engine.snapshot import decode
from laterna.media.objects import MediaStore
from tests.worker.drive import PATIENCE_SECONDS, Driven, order, worker

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
STEPS = 20
QUICK = (10,)
POSITIONS = [at if at in QUICK else pytest.param(at, marks=pytest.mark.slow) for at in range(1, STEPS + 1)]
JOB = TextToImage(
    prompt="a red fox on a teal background", width=64, height=64, steps=STEPS, cfg_scale=2.0, sampler="flow_euler",
    seed=7, count=2,
)  # fmt: skip


def asked(name: str, attempt: int = 1) -> Assign:
    model = Catalog.load(Path("no/cards")).card("laterna/sprite").ref()
    lease = Lease(request_id=name, token=f"{name}-{attempt}")
    return Assign(lease=lease, model=model, generation=JOB, tenant="t", priority=1, created_us=0, attempt=attempt)


def pixels(driven: Driven, said: Finished | Failed) -> list[Pixels]:
    assert isinstance(said, Finished)
    media = MediaStore(driven.media)
    return [np.asarray(Image.open(io.BytesIO(media.get_sync(made.key)))) for made in said.artifacts]


def kill(driven: Driven) -> list[FromWorker]:
    """As a crash would; what it had said before is still heard."""
    os.kill(driven.process.pid, signal.SIGKILL)
    driven.process.wait()
    heard = len(driven.heard)
    with suppress(EOFError):
        while True:
            driven.heard.append(driven._reader.read(driven.ours))
    return driven.heard[heard:]


def wait_until_saved(path: Path, step: int) -> int:
    """Returns the step that is saved by now."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or (saved := min(s.step for s in decode(path.read_bytes()).samples.values())) < step:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return saved


def step_is(at: int) -> Callable[[Progress], bool]:
    return lambda said: said.stage == "denoise" and said.step >= at


def steps(driven: Driven, lease: Lease) -> list[int]:
    return [m.step for m in driven.about(lease) if isinstance(m, Progress) and m.stage == "denoise"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pixels]]:
    with worker(tmp_path_factory.mktemp("undisturbed")) as driven:
        driven.send(asked("a"))
        yield pixels(driven, driven.ended(asked("a").lease))


@pytest.mark.parametrize("at", POSITIONS)
def test_killed_at_a_step_it_goes_on_there_and_paints_the_same(
    tmp_path: Path, at: int, undisturbed: list[Pixels]
) -> None:
    first, second = asked("a"), asked("a", attempt=2)
    with worker(tmp_path, checkpoint_seconds=0) as driven:
        driven.send(first)
        driven.until(Progress, first.lease, step_is(at))
        reached = wait_until_saved(tmp_path / "checkpoints" / "a.state", at)
        kill(driven)
    with worker(tmp_path, checkpoint_seconds=0) as driven:
        driven.send(second)
        said = driven.ended(second.lease)
        [resumed] = [message for message in driven.about(second.lease) if isinstance(message, Resumed)]
        assert resumed.step >= reached, "nothing that was saved is lost"
        assert steps(driven, second.lease) == list(range(resumed.step + 1, STEPS + 1)), "nothing is done twice"
        assert resumed.former == first.lease
        both = [*resumed.spent, *said.spent]
        assert sum(spent.calls for spent in both if spent.stage == "denoise") == 2 * STEPS, "for two samples"
        for one, other in zip(pixels(driven, said), undisturbed, strict=True):
            assert np.array_equal(one, other)


@pytest.mark.slow
def test_under_another_plan_it_starts_over_and_says_so(tmp_path: Path) -> None:
    """One more thread is another plan."""
    first, second = asked("a"), asked("a", attempt=2)
    with worker(tmp_path, checkpoint_seconds=0) as driven:
        driven.send(first)
        before = driven.until(Started, first.lease).plan
        driven.until(Progress, first.lease, step_is(10))
        wait_until_saved(tmp_path / "checkpoints" / "a.state", 10)
        kill(driven)
    with worker(tmp_path, checkpoint_seconds=0, threads=2) as driven:
        driven.send(second)
        after = driven.until(Started, second.lease).plan
        assert isinstance(driven.ended(second.lease), Finished)
        assert steps(driven, second.lease) == list(range(1, STEPS + 1))
        told = [said.message for said in driven.about(second.lease) if isinstance(said, Note)]
        assert [message for message in told if "starts over" in message and "plan changed" in message]
    assert before != after
    for digest in (before, after):
        assert (tmp_path / "plans" / f"{digest}.json").exists()


def test_told_to_stop_it_saves_whatever_its_cadence(tmp_path: Path) -> None:
    slow = order("a", step_seconds=0.1, steps=100)
    with worker(tmp_path, checkpoint_seconds=3600) as driven:
        driven.send(slow)
        driven.until(Progress, slow.lease, step_is(3))
        assert driven.stop() == 0
        reached = max(steps(driven, slow.lease))
    with worker(tmp_path, checkpoint_seconds=3600) as driven:
        driven.send(slow)
        assert driven.until(Resumed, slow.lease).step >= reached
        driven.send(Stop())


@pytest.mark.slow
def test_a_server_that_is_gone_means_saving_too(tmp_path: Path) -> None:
    slow = order("a", step_seconds=0.1, steps=100)
    with worker(tmp_path, checkpoint_seconds=3600) as driven:
        driven.send(slow)
        driven.until(Progress, slow.lease, step_is(3))
        driven.ours.close()
        assert driven.process.wait(60) == 0
    with worker(tmp_path) as driven:
        driven.send(slow)
        assert driven.until(Resumed, slow.lease).step >= 3


@pytest.mark.slow
def test_taken_back_it_is_saved_and_cancelled_it_is_not(tmp_path: Path) -> None:
    with worker(tmp_path, checkpoint_seconds=3600) as driven:
        for name, waits_again in (("kept", True), ("dropped", False)):
            slow = order(name, step_seconds=0.05, steps=200)
            driven.send(slow)
            driven.until(Progress, slow.lease, step_is(3))
            driven.send(Cancel(lease=slow.lease, waits_again=waits_again))
            said = driven.ended(slow.lease)
            assert isinstance(said, Failed)
            assert said.retry == waits_again
        driven.stop()
        assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == ["kept"]


@pytest.mark.slow
def test_a_short_run_is_not_saved(tmp_path: Path) -> None:
    with worker(tmp_path) as driven:
        driven.send(order("a"))
        assert isinstance(driven.ended(order("a").lease), Finished)
        driven.stop()
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_what_is_saved_belongs_to_the_request_not_to_the_lease(tmp_path: Path) -> None:
    slow = order("a", step_seconds=0.05, steps=30)
    again = msgspec.structs.replace(slow, lease=Lease(request_id="a", token="another"))
    with worker(tmp_path, checkpoint_seconds=0) as driven:
        driven.send(slow)
        driven.until(Started, slow.lease)
        driven.until(Progress, slow.lease, step_is(2))
        kill(driven)
    with worker(tmp_path, checkpoint_seconds=0) as driven:
        driven.send(again)
        assert driven.until(Resumed, again.lease).former == slow.lease
