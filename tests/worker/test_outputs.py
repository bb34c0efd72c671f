"""Whatever comes in between, a run ends once, and what lies in the store is what was said to be finished."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.contracts.messages import Failed, Finished, FromWorker, Progress
from laterna.engine.run import Run
from laterna.media.images import decode_image
from laterna.media.objects import MediaStore
from laterna.worker.outputs import Outputs
from tests.media.carriers import us
from tests.media.test_safety import FLAGGED
from tests.worker.drive import order

PICTURE = np.zeros((8, 8, 3), dtype=np.uint8)


class Brittle(MediaStore):
    """Fails at chosen puts, before or after the bytes are there."""

    def __init__(self, folder: Path, failures: dict[int, bool]) -> None:
        super().__init__(folder)
        self._failures = failures
        self._puts = 0

    def put_sync(self, key: str, data: bytes, content_type: str | None = None) -> None:
        number, self._puts = self._puts, self._puts + 1
        if self._failures.get(number) is False:
            raise OSError("no space left")
        super().put_sync(key, data)
        if self._failures.get(number):
            raise OSError("the name could not be forced to the disk")


class Bench:
    """An engine's thread that does what the test says, in turn for several runs."""

    def __init__(self, folder: Path, failures: dict[int, bool], counts: list[int]) -> None:
        self.media = Brittle(folder, failures)
        self.said: list[FromWorker] = []
        self.broken: list[Run] = []
        self.outputs = Outputs(self.media, us().manifests, self.said.append, lambda run, _: self.broken.append(run))
        self.runs = [
            Run(order=order(str(n), count=count), begun_ns=0, pictures_left=count, started_ns=1)
            for n, count in enumerate(counts)
        ]

    def advance(self, run: Run) -> None:
        """Hand over its next picture, as the engine does; the last one completes it."""
        if run.failed or not run.pictures_left:
            return
        run.pictures_left -= 1
        self.outputs.picture(run, run.pictures_left, PICTURE)
        if not run.pictures_left:
            self.outputs.complete(run)

    def cancel(self, run: Run) -> None:
        if run.pictures_left or self.outputs.stop(run.order.lease) is run:
            self.fail(run)

    def fail(self, run: Run) -> None:
        if not run.failed:
            run.failed = True
            self.said.append(Failed(lease=run.order.lease, code="x", message="x"))
            self.outputs.forget(run.order.lease)

    def heed(self) -> None:
        """End the runs that could not be stored."""
        while self.broken:
            self.fail(self.broken.pop(0))


acts = st.lists(st.tuples(st.sampled_from(["advance", "advance", "advance", "cancel", "heed"]), st.integers(0, 9)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.dictionaries(st.integers(0, 8), st.booleans()), acts)
def test_the_store_holds_what_was_finished_and_nothing_else(
    counts: list[int], failures: dict[int, bool], story: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), failures, counts)
        for act, which in story:
            run = bench.runs[which % len(counts)]
            if act == "heed":
                bench.heed()
            else:
                getattr(bench, act)(run)
        bench.outputs.close()
        ends = [message.lease.request_id for message in bench.said if isinstance(message, Finished | Failed)]
        assert len(ends) == len(set(ends)), "a run ends once"
        finished = [message for message in bench.said if isinstance(message, Finished)]
        stored = {path.name for path in Path(name).rglob("*") if path.is_file()}
        assert stored == {made.key for message in finished for made in message.artifacts}
        for message in finished:
            count = counts[int(message.lease.request_id)]
            assert [made.index for made in message.artifacts] == list(range(count))
        unfinished = {run.order.lease.request_id for run in bench.broken}
        for run in bench.runs:
            if not run.pictures_left and not run.failed and run.order.lease.request_id not in unfinished:
                assert run.order.lease.request_id in ends, "what is complete and sound is finished"


def test_a_store_that_is_broken_altogether_breaks_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    bench = Bench(folder, {}, [2, 1])
    folder.rmdir()
    folder.write_text("no folder")
    bench.advance(bench.runs[0])
    bench.advance(bench.runs[0])
    bench.advance(bench.runs[1])
    bench.cancel(bench.runs[0])
    bench.outputs.close()
    assert set(bench.broken) <= set(bench.runs)
    assert not [message for message in bench.said if isinstance(message, Finished)]


@pytest.mark.parametrize("safety", [True, False])
def test_a_flagged_picture_and_its_previews_are_black_where_that_was_asked_for(tmp_path: Path, safety: bool) -> None:
    bench = Bench(tmp_path, {}, [1])
    [run] = bench.runs
    run.order = msgspec.structs.replace(
        run.order, generation=msgspec.structs.replace(run.order.generation, safety=safety)
    )
    flagged = decode_image(FLAGGED.read_bytes(), field="image")
    step = Progress(lease=run.order.lease, stage="denoise", step=1, steps=2, batch=1, remaining_s=1.0, spent=[])
    bench.outputs.preview(run, step, 0, flagged)
    bench.outputs.picture(run, 0, flagged)
    bench.outputs.complete(run)
    bench.outputs.close()
    seen, ended = bench.said
    assert isinstance(seen, Progress)
    assert isinstance(ended, Finished)
    assert seen.preview is not None
    assert [made.flagged for made in ended.artifacts] == [safety]
    stored = bench.media.get_sync(ended.artifacts[0].key)
    for data in (seen.preview.data, stored):
        assert decode_image(data, field="image").any() != safety
