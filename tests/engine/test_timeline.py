"""Timelines: few lines, and every nanosecond of the calls in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.clock import ManualClock
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Span, Spent
from laterna.engine.engine import Engine
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.engine.timeline import MOST, Timeline
from laterna.families.family import Conditioning, Noisy, Picture, Predicted
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy, Shares
from tests.engine.toy import Heard, Toy, job, order

calls = st.tuples(st.sampled_from(["encode", "denoise", "decode"]), st.integers(1, 10**9), st.integers(1, 16))


@given(st.lists(calls, max_size=300))
def test_spans_hold_every_call_in_order(story: list[tuple[str, int, int]]) -> None:
    timeline, now = Timeline(), 0
    for stage, device_ns, batch in story:
        timeline.add(stage, now, device_ns, batch)
        now += device_ns + 1
    spans = timeline.spans()
    assert sum(span.calls for span in spans) == len(story)
    rest = list(story)
    for span in spans:
        mine, rest = rest[: span.calls], rest[span.calls :]
        assert {stage for stage, _, _ in mine} == {span.stage}
        assert sum(device_ns for _, device_ns, _ in mine) == span.device_ns
        batches = [batch for _, _, batch in mine]
        assert (min(batches), max(batches)) == (span.smallest, span.largest)
    edges = [edge for span in spans for edge in (span.start_ns, span.end_ns or 0)]
    assert edges == sorted(set(edges))


@given(st.lists(st.integers(1, 16), min_size=MOST, max_size=2000))
def test_a_long_run_among_many_has_few_spans(batches: list[int]) -> None:
    timeline = Timeline()
    for number, batch in enumerate(batches):
        timeline.add("denoise", number, 1, batch)
    assert len(timeline.spans()) <= MOST
    assert sum(span.calls for span in timeline.spans()) == len(batches)
    assert len(msgspec.msgpack.encode(timeline.spans())) < 10_000


def test_equal_calls_are_one_line() -> None:
    timeline = Timeline()
    for number in range(50):
        timeline.add("denoise", 10 * number, 7, 4)
    assert timeline.spans() == [
        Span(stage="denoise", start_ns=0, end_ns=497, device_ns=350, calls=50, smallest=4, largest=4)
    ]


class Slow(Toy):
    """Every call takes a time of its own, by the clock that the engine is given."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.calls: list[tuple[set[str], int]] = []  # prompts in it, nanoseconds

    def took(self, prompts: Iterable[str]) -> None:
        device_ns = 1_000 + 7 * len(self.calls)
        self.clock.advance(device_ns / 1e9)
        self.calls.append((set(prompts), device_ns))

    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        self.took(job.prompt for job in jobs)
        return super().encode(jobs)

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        self.took(sample.job.prompt for sample in samples)
        return super().denoise(samples)

    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        self.took(job.prompt for job in jobs)
        return super().decode(x, jobs)


class Keeping(Heard):
    """Keeps what is told of runs at their end."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, tuple[list[Span], list[Spent]]] = {}

    def complete(self, run: Run) -> None:
        self.ends[run.order.generation.prompt] = run.timeline.spans(), run.bill()


asked = st.tuples(st.sampled_from(["fine", "bad", "nan"]), st.integers(1, 8), st.integers(1, 3), st.integers(0, 12))


@settings(max_examples=60, deadline=None)
@given(st.lists(asked, min_size=1, max_size=8), st.sets(st.integers(0, 7)))
def test_spans_sum_to_the_wall_time_of_the_runs_calls_and_bills_to_all_of_it(
    mix: list[tuple[str, int, int, int]], cancelled: set[int]
) -> None:
    """Whatever runs, breaks, becomes nonsense or is cancelled among others."""
    clock, heard = ManualClock(), Keeping()
    toy = Slow(clock)
    running = Engine(Residency(lambda _: toy, 10_000, clock), Policy(clock, CostModel(), Shares()), clock, heard)
    for turn in range(400):
        for number, (kind, steps, count, arrival) in enumerate(mix):
            if arrival == turn:
                running.submit(order(str(number), job(f"{kind}{number}", steps=steps, count=count)))
            if number in cancelled and arrival + 3 == turn:
                running.cancel(order(str(number), job()).lease)
        if not running.turn() and turn > 20:
            break
    ends = {**heard.ends, **{_prompt(mix, r): (m.timeline, m.spent) for r, m in heard.failures().items()}}
    assert len(ends) == len(mix)
    for prompt, (told, _) in ends.items():
        spans = [span for span in told if span.on_device]
        assert [span.stage for span in told if not span.on_device] in (["load"], [])
        mine = [device_ns for prompts, device_ns in toy.calls if prompt in prompts]
        assert sum(span.device_ns for span in spans) == sum(mine)
        assert sum(span.calls for span in spans) == len(mine)
    billed = sum(item.device_ns for _, bill in ends.values() for item in bill)
    assert billed == sum(device_ns for _, device_ns in toy.calls), "what failed is paid for too"


def _prompt(mix: list[tuple[str, int, int, int]], request_id: str) -> str:
    return f"{mix[int(request_id)][0]}{request_id}"


def test_previews_are_paid_for_by_who_asked_for_them() -> None:
    clock, heard = ManualClock(), Keeping()
    toy = Slow(clock)
    running = Engine(Residency(lambda _: toy, 10_000, clock), Policy(clock, CostModel(), Shares()), clock, heard)
    running.submit(order("a", job("fine", steps=9, previews=True)))
    running.submit(order("b", job("good", steps=9)))
    while running.turn():
        clock.advance(0.3)
    bills = {prompt: {item.stage: item.device_ns for item in bill} for prompt, (_, bill) in heard.ends.items()}
    assert len(heard.previews) > 2
    assert "preview" in bills["fine"]
    assert "preview" not in bills["good"]
    assert sum(sum(bill.values()) for bill in bills.values()) == sum(device_ns for _, device_ns in toy.calls)
