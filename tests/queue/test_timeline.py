"""The parts of a request's time add up to all of it, whatever its attempts and clocks did."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laterna.contracts.messages import Span
from laterna.queue.attempts import Attempt
from laterna.queue.timeline import Part, parts

moments = st.integers(0, 10_000_000)
spans = st.builds(
    Span,
    stage=st.sampled_from(["fetch", "load", "encode", "denoise", "decode", "store"]),
    start_ns=st.integers(0, 10**10),
    end_ns=st.none() | st.integers(0, 10**10),
    device_ns=st.integers(0, 10**10),
    calls=st.integers(1, 50),
    smallest=st.just(1),
    largest=st.just(4),
)


def attempt(number: int, **changes: Any) -> Attempt:
    given: dict[str, Any] = {
        "worker": "cpu",
        "leased_us": 1_000_000,
        "started_us": 3_000_000,
        "ended_us": 9_000_000,
        "outcome": "ok",
        "error_code": None,
        "device_ns": None,
        "timeline": (),
    }
    return Attempt(number=number, **{**given, **changes})


def span(stage: str, start_s: float, end_s: float, calls: int = 1) -> Span:
    start_ns, end_ns = round(start_s * 1e9), round(end_s * 1e9)
    return Span(
        stage=stage, start_ns=start_ns, end_ns=end_ns, device_ns=end_ns - start_ns, calls=calls, smallest=1, largest=1
    )


def told(found: list[Part]) -> list[tuple[str, int, float, float]]:
    return [(part.stage, part.attempt, part.start_us / 1e6, part.end_us / 1e6) for part in found]


WHOLE = (
    span("load", 0.5, 1.5),
    span("encode", 2, 2.25),
    span("denoise", 2.25, 4, calls=7),
    span("decode", 4, 4.5),
    span("denoise", 4.5, 5, calls=2),
    span("decode", 5, 5.5),
    span("store", 4.5, 6, calls=2),
)


def test_each_stage_lasts_until_its_last_call_has_ended() -> None:
    """Its first device call, two seconds after it was taken, was heard of three seconds after the submission."""
    assert told(parts(0, 9_000_000, [attempt(1, timeline=WHOLE)])) == [
        ("queue", 1, 0, 1.5),
        ("load", 1, 1.5, 2.5),
        ("encode", 1, 2.5, 3.25),
        ("denoise", 1, 3.25, 6),
        ("decode", 1, 6, 6.5),
        ("store", 1, 6.5, 7),
        ("settle", 1, 7, 9),
    ]


def test_an_attempt_that_told_nothing_is_one_part_and_the_next_one_waits_again() -> None:
    lost = attempt(1, outcome="lost", error_code="poison_request", ended_us=4_000_000)
    found = parts(0, 9_000_000, [lost, attempt(2, leased_us=5_000_000, started_us=None, ended_us=None)])
    assert told(found) == [("queue", 1, 0, 3), ("run", 1, 3, 4), ("queue", 2, 4, 5), ("run", 2, 5, 9)]
    assert [part.error_code for part in found] == [None, "poison_request", None, None]


def test_what_never_began_waited_all_the_time() -> None:
    assert told(parts(0, 9_000_000, [])) == [("queue", 1, 0, 9)]
    waits_again = parts(0, 9_000_000, [attempt(1, ended_us=4_000_000)])
    assert told(waits_again)[-1] == ("queue", 2, 4, 9)


def test_what_was_told_after_an_attempt_was_given_up_takes_no_time_of_the_next() -> None:
    late = attempt(1, ended_us=4_000_000, timeline=WHOLE, outcome="lost", error_code="poison_request")
    found = told(parts(0, 9_000_000, [late, attempt(2, leased_us=6_000_000, started_us=6_000_000)]))
    assert found[-2:] == [("queue", 2, 4, 6), ("run", 2, 6, 9)]


stories = st.lists(
    st.fixed_dictionaries(
        {
            "leased_us": moments,
            "started_us": st.none() | moments,
            "ended_us": st.none() | moments,
            "error_code": st.none() | st.just("sample_failed"),
            "timeline": st.lists(spans, max_size=8).map(tuple),
        }
    ),
    max_size=4,
)


@given(moments, moments, stories)
def test_parts_add_up_without_gaps_whatever_the_clocks_say(
    created_us: int, settled_us: int, story: list[dict[str, Any]]
) -> None:
    found = parts(created_us, settled_us, [attempt(n, **given) for n, given in enumerate(story, 1)])
    assert found[0].start_us == created_us
    assert all(one.end_us == other.start_us for one, other in pairwise(found))
    assert all(part.end_us >= part.start_us for part in found)
    assert sum(part.end_us - part.start_us for part in found) <= max(0, settled_us - created_us)
    kept = [span for part in found for span in part.spans]
    assert len(kept) == sum(len(given["timeline"]) for given in story), "nothing that was done is left out"


@given(moments, st.integers(0, 10**7), stories)
def test_a_settled_request_is_explained_to_its_last_microsecond(
    created_us: int, whole_us: int, story: list[dict[str, Any]]
) -> None:
    settled_us = created_us + whole_us
    ended = [given | {"ended_us": settled_us if n == len(story) else created_us} for n, given in enumerate(story, 1)]
    found = parts(created_us, settled_us, [attempt(n, **given) for n, given in enumerate(ended, 1)])
    assert sum(part.end_us - part.start_us for part in found) == whole_us
