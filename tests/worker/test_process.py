"""A worker process from its first word to its last: what it stores, and that it leaves nothing else."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from laterna.contracts.messages import Beat, Cancel, Failed, Finished, Progress, Ready, Stop, Watch
from laterna.errors import ExecutionError
from laterna.media.marks import marks_of
from laterna.media.objects import MediaStore
from laterna.media.signatory import authority
from laterna.scheduler.policy import LARGEST_BATCH
from tests.worker.drive import PATIENCE_SECONDS, Driven, order, worker


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """One process for all tests that leave it as they found it."""
    with worker(tmp_path_factory.mktemp("worker")) as driven:
        yield driven


def device_ns(said: Finished | Failed) -> int:
    """Of all calls that it was in."""
    return sum(span.device_ns for span in said.timeline if span.on_device)


def test_pictures_are_stored_as_reported(shared: Driven) -> None:
    asked = order("stored", count=2, width=72, seed=5)
    shared.send(asked)
    said = shared.ended(asked.lease)
    assert isinstance(said, Finished)
    assert [made.seed for made in said.artifacts] == [5, 6]
    assert [(item.stage, item.calls) for item in said.spent] == [("encode", 2), ("denoise", 6), ("decode", 2)]
    assert [(span.stage, span.calls, span.largest) for span in said.timeline] == [
        ("load", 1, 2),
        ("encode", 1, 2),
        ("denoise", 3, 2),
        ("decode", 1, 2),
        ("store", 2, 1),
    ]
    assert device_ns(said) == sum(item.device_ns for item in said.spent)
    edges = [edge for span in said.timeline for edge in (span.start_ns, span.end_ns or 0)]
    assert edges == sorted(edges), "one after another, from when it was taken"
    colours = set()
    for made in said.artifacts:
        data = MediaStore(shared.media).get_sync(made.key)
        assert len(data) == made.size_bytes
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.size, picture.format) == ((72, 64), "PNG")
            colours.add(picture.getpixel((0, 0)))
    assert len(colours) == 2, "each is its own seed's"


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_whatever_leaves_says_that_it_was_generated_and_no_word_of_the_prompt(
    shared: Driven, tmp_path: Path, image_format: str
) -> None:
    """Kept, inline and seen under way: signed by the key of the worker's folder, to the last byte that is reported."""
    for inline in (False, True):
        name = f"marked-{image_format}-{inline}"
        asked = order(name, 0.05, image_format=image_format, inline=inline, previews=True, prompt="quixotic zebras")
        shared.send(asked)
        said = shared.ended(asked.lease)
        assert isinstance(said, Finished)
        [made] = said.artifacts
        data = made.data if made.data is not None else MediaStore(shared.media).get_sync(made.key)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (made.sha256, made.size_bytes)
        shown = [told.preview.data for told in shared.about(asked.lease) if isinstance(told, Progress) and told.preview]
        assert shown
        for number, each in enumerate([data, *shown]):
            (tmp_path / name).write_bytes(each)
            marks = marks_of(tmp_path / name, authority(shared.folder / "provenance"))
            assert (marks.finding, marks.generated) == ("ours", True)
            assert marks.model == (asked.model.id if number == 0 else None)
            assert b"zebra" not in each


def test_an_inline_picture_is_handed_over_and_not_stored(shared: Driven) -> None:
    before, asked = shared.files(), order("inline", inline=True, image_format="webp")
    shared.send(asked)
    said = shared.ended(asked.lease)
    assert isinstance(said, Finished)
    [made] = said.artifacts
    assert (made.key, made.content_type, len(made.data or b"")) == ("", "image/webp", made.size_bytes)
    assert shared.files() == before


def test_a_store_that_fails_is_told_once_and_the_rest_is_not_computed(shared: Driven) -> None:
    """More samples than one call takes, so that some are still to be computed when the first cannot be stored."""
    shared.break_store()
    asked = order("unstored", step_seconds=0.1, count=LARGEST_BATCH + 4)
    shared.send(asked)
    said = shared.ended(asked.lease)
    assert isinstance(said, Failed)
    assert (said.code, said.retry) == (ExecutionError.code, True)
    assert sum(item.device_ns for item in said.spent) > 0
    assert device_ns(said) == sum(item.device_ns for item in said.spent)
    shared.idle()
    shared.mend_store()
    again = order("restored", count=3)
    shared.send(again)
    done = shared.ended(again.lease)
    assert isinstance(done, Finished)
    assert shared.files() == {made.key for made in done.artifacts}, "what failed left nothing"
    assert shared.about(asked.lease)[-1] == said, "nothing was said of it after its end"
    decoded = {item.stage: item.calls for item in said.spent}["decode"]
    assert decoded <= LARGEST_BATCH, "the rest was not computed"


def test_a_lease_cancelled_while_it_is_being_stored_leaves_no_file(tmp_path: Path) -> None:
    with worker(tmp_path) as driven:
        asked = order("cancelled", count=4, width=1024, height=1024, steps=1)
        driven.send(asked)
        wait_for_files(driven)
        driven.send(Cancel(lease=asked.lease))
        said = driven.ended(asked.lease)
        assert isinstance(said, Failed), "it was stored before it could be cancelled"
        assert said.code == "client_cancelled"
        assert {item.stage: item.calls for item in said.spent}["decode"] == 4, "all of it was computed, and is metered"
        driven.idle()
        assert driven.stop() == 0
        assert driven.files() == set()


def test_a_lease_cancelled_before_its_last_picture_leaves_no_file(tmp_path: Path) -> None:
    """Some of its pictures are stored, others still being computed."""
    with worker(tmp_path) as driven:
        asked = order("half", step_seconds=0.3, count=LARGEST_BATCH + 1, steps=4)
        driven.send(asked)
        wait_for_files(driven)
        driven.send(Cancel(lease=asked.lease))
        assert isinstance(driven.ended(asked.lease), Failed)
        assert driven.stop() == 0
        assert driven.files() == set()


def test_a_worker_that_is_told_to_stop_leaves_nothing_half_done(tmp_path: Path) -> None:
    with worker(tmp_path) as driven:
        half, whole = order("half", step_seconds=0.3, count=LARGEST_BATCH + 1, steps=4), order("whole")
        driven.send(whole)
        assert isinstance(said := driven.ended(whole.lease), Finished)
        driven.send(half)
        driven.until(Progress, half.lease)
        for _ in range(3000):
            if len(driven.files()) > 1:
                break
            time.sleep(0.01)
        assert driven.stop() == 0
        assert driven.files() == {made.key for made in said.artifacts}
        assert not [message for message in driven.about(half.lease) if isinstance(message, Finished)]
        assert driven.costs.exists()


def test_it_says_what_it_is_and_ends_when_the_server_is_gone(tmp_path: Path) -> None:
    with worker(tmp_path) as driven:
        [ready] = [message for message in driven.heard if isinstance(message, Ready)]
        assert (ready.pid, ready.device) == (driven.process.pid, "cpu")
        assert ready.memory_bytes > 0
        driven.ours.close()
        assert driven.process.wait(PATIENCE_SECONDS) == 0


def test_beats_name_what_is_held_and_only_that(shared: Driven) -> None:
    asked = order("held", step_seconds=0.4, steps=10)
    shared.send(asked)
    shared.until(Progress, asked.lease)
    beat = shared.until(Beat)
    assert beat.leases == [asked.lease]
    assert asked.model.name in beat.resident
    shared.send(Cancel(lease=asked.lease))
    shared.send(Cancel(lease=asked.lease))
    assert isinstance(shared.ended(asked.lease), Failed)
    shared.idle()
    assert len([message for message in shared.about(asked.lease) if isinstance(message, Failed)]) == 1


def test_previews_come_once_somebody_watches(shared: Driven) -> None:
    asked = order("watched", step_seconds=0.1, steps=40)
    shared.send(asked)
    shared.until(Progress, asked.lease)
    shared.send(Watch(lease=asked.lease))
    shown = shared.until(Progress, asked.lease, lambda progress: progress.preview is not None)
    assert shown.preview is not None
    with Image.open(io.BytesIO(shown.preview.data)) as picture:
        assert (picture.size, picture.format) == ((64, 64), "JPEG")
    assert not any(m.preview for m in shared.about(asked.lease)[:-1] if isinstance(m, Progress))
    shared.send(Cancel(lease=asked.lease))
    shared.ended(asked.lease)


def test_a_family_that_is_none_fails_its_request_alone(shared: Driven) -> None:
    bad, good = order("bad", family="none-such"), order("good")
    shared.send(bad)
    shared.send(good)
    ends = {said.lease.request_id: said for said in (shared.end(), shared.end())}  # in either order
    assert isinstance(ends["good"], Finished)
    assert isinstance(ends["bad"], Failed)
    assert "none-such" in ends["bad"].message


def test_a_stale_cancel_disturbs_nobody(shared: Driven) -> None:
    asked = order("undisturbed")
    shared.send(Cancel(lease=order("never-there").lease))
    shared.send(asked)
    assert isinstance(shared.ended(asked.lease), Finished)
    shared.send(Cancel(lease=asked.lease))
    shared.idle()
    assert not [message for message in shared.about(asked.lease) if isinstance(message, Failed)]


def wait_for_files(driven: Driven) -> None:
    for _ in range(6000):
        if driven.files():
            return
        time.sleep(0.005)
    raise AssertionError("nothing is being stored")


def test_a_stop_is_heard_before_anything_else_is_begun(tmp_path: Path) -> None:
    with worker(tmp_path) as driven:
        driven.send(Stop())
        driven.send(order("late"))
        assert driven.process.wait(PATIENCE_SECONDS) == 0
        assert driven.files() == set()
