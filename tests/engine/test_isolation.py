"""What fails fails alone: a call that is too much for the memory is made smaller, a sample that goes wrong is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from laterna.clock import SystemClock
from laterna.contracts.generation import ModelRef
from laterna.engine.engine import Engine
from laterna.engine.memory import is_out_of_memory
from laterna.engine.residency import Residency
from laterna.families.family import Noisy, Predicted
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy, Shares
from tests.engine.toy import Heard, Toy, alone, drain, engine, job, order

ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    lambda: MemoryError(),
]


class Cramped(Toy):
    """Has memory for so many samples in a denoising call."""

    def __init__(self, room: int, error: Callable[[], Exception] = ERRORS[0]) -> None:
        super().__init__()
        self.room, self.error, self.asked = room, error, list[int]()

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        self.asked.append(len(samples))
        if len(samples) > self.room:
            raise self.error()
        return super().denoise(samples)


@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_that_is_too_large_is_halved_and_none_so_large_is_tried_again(error: Callable[[], Exception]) -> None:
    toy, heard = Cramped(3, error), Heard()
    running = engine(toy, heard)
    for number in range(8):
        running.submit(order(str(number), job(seed=number, steps=10)))
    drain(running)
    assert len(heard.completed) == 8
    failed = [asked for asked in toy.asked if asked > 3]
    assert 1 <= len(failed) <= 3, "the first, then its halves; then it is known"
    assert max(failed[1:], default=0) < failed[0]
    assert max(toy.asked[-20:]) <= 3
    for number in range(8):
        assert np.abs(heard.pictures[str(number)][0].astype(int) - alone(job(seed=number, steps=10))[0]).max() <= 1


def test_a_sample_that_is_too_large_fails_alone_with_the_way_out() -> None:
    heard = Heard()
    running = engine(Cramped(0), heard)
    running.submit(order("a", job()))
    drain(running)
    failed = heard.failures()["a"]
    assert failed.code == "out_of_memory"
    assert "32x32" in failed.message
    assert "smaller" in failed.message
    assert not failed.retry
    assert {spent.stage for spent in failed.spent} == {"encode", "denoise"}, "what failed is metered"


def test_other_models_make_room_for_a_sample_that_is_too_large() -> None:
    heard, clock = Heard(), SystemClock()

    class Large(Cramped):
        """Needs all the memory that there is."""

        def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
            self.room = int(residency.names() == ["large@1"])
            return super().denoise(samples)

    residency = Residency(lambda ref: Large(0) if ref.id == "large" else Toy(), 10_000, clock)
    running = Engine(residency, Policy(clock, CostModel(), Shares()), clock, heard)
    for name in ("small", "large"):
        running.submit(order(name, job(), model=_ref(name)))
        drain(running)
    assert set(heard.completed) == {"small", "large"}
    assert residency.names() == ["large@1"]


def test_a_sample_that_becomes_nan_is_ended_at_once_and_named() -> None:
    toy, heard = Toy(), Heard()
    running = engine(toy, heard)
    running.submit(order("a", job("good", steps=50)))
    running.submit(order("b", job("nan", steps=50)))
    drain(running)
    assert set(heard.completed) == {"a"}
    assert heard.failures()["b"].message == "sample 0 became infinite or not a number in step 1 of 50"
    assert toy.batches.count(2) == 1


def test_only_what_says_so_is_out_of_memory() -> None:
    assert all(is_out_of_memory(error()) for error in ERRORS)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_call_under_way_can_be_seen_from_outside() -> None:
    seen = []

    class Watched(Toy):
        def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
            seen.append(running.running)
            return super().denoise(samples)

    running = engine(Watched(), Heard())
    running.submit(order("a", job(steps=2)))
    drain(running)
    assert [(call.plan.stage, call.first) for call in seen if call] == [("denoise", True), ("denoise", False)]
    assert running.running is None


def _ref(name: str) -> ModelRef:
    return ModelRef(id=name, revision="1", family="toy", weights="builtin:none", resident_bytes=1000)
