"""Traces: what is written is read back, what is wrong is named, made-up ones have the rate and the mix asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.errors import ConfigError
from laterna.simulation.arrivals import Part, bursty, parse_bursts, parse_mix, poisson
from laterna.simulation.trace import CLASSES, Asked, arrivals, read_trace, write_trace

LIKE = Asked(time_s=0.0, model="m")
seconds = st.floats(0, 1e6)

asked = st.builds(
    Asked,
    time_s=seconds,
    tenant=st.text("abc, \"'\n;é", min_size=1, max_size=5).filter(lambda text: "\r" not in text),
    weight=st.floats(0.1, 10),
    priority=st.sampled_from(CLASSES),
    model=st.sampled_from(["a/b", "a/b/c"]),
    steps=st.integers(1, 100),
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
    cfg_scale=st.floats(0, 20),
    count=st.integers(1, 8),
    finish_within_s=st.none() | seconds,
)


@given(some=st.lists(asked, min_size=1, max_size=10))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, some: list[Asked]) -> None:
    file = tmp_path_factory.mktemp("trace") / "t.csv"
    with file.open("w", newline="") as lines:
        write_trace(lines, some)
    assert read_trace(file, LIKE) == sorted(some, key=lambda one: one.time_s)


def test_absent_and_empty_columns_are_like_the_model_simulated(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("time_s,steps\n2,\n1,7\n")
    like = Asked(time_s=0.0, model="m", steps=30, width=64, height=32, cfg_scale=2.0)
    first, second = read_trace(file, like)
    assert (first.time_s, first.steps, first.width, second.steps) == (1.0, 7, 64, 30)
    one = arrivals([first], lambda id: f"{id}@1")[0]
    assert (one.model, one.tokens, one.samples, one.priority) == ("m@1", 2 * 64 * 32 // 256, 1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps\n3\n", "no column time_s"),
        ("time_s,colour\n3,red\n", "unknown columns .'colour'"),
        ("time_s\n", "no requests"),
        ("time_s,steps\n1,2\n1,many\n", "line 3"),
        ("time_s,steps\n1,0\n", "steps = 0: must be at least 1"),
        ("time_s,steps\n-1,1\n", "time_s"),
        ("time_s\nnan\n", "time_s = nan"),
        ("time_s,priority\n1,urgent\n", "'urgent': expected one of realtime, normal, low"),
        ("time_s,steps\n,2\n", "time_s is empty"),
        ("time_s,steps\n1,2,3\n", "line 2: 1 values too many"),
    ],
)
def test_a_bad_trace_is_refused_by_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_trace(tmp_path / "t.csv", LIKE)


def test_made_up_requests_have_the_rate_and_the_mix_asked_for() -> None:
    mix = parse_mix("4:1:realtime, 50:3")
    assert mix == [Part(steps=4, share=1, priority="realtime"), Part(steps=50, share=3)]
    some = poisson(LIKE, mix, rate=2.0, count=4000, seed=1)
    assert some[-1].time_s == pytest.approx(2000, rel=0.1)
    assert sum(one.steps == 4 for one in some) == pytest.approx(1000, rel=0.1)
    assert all((one.steps == 4) == (one.priority == "realtime") for one in some)
    assert poisson(LIKE, mix, rate=2.0, count=4000, seed=1) == some
    assert poisson(LIKE, mix, rate=2.0, count=4000, seed=2) != some
    assert {one.steps for one in poisson(LIKE, [], 1.0, 5, 0)} == {LIKE.steps}


def test_bursts_come_as_often_and_as_dense_as_asked_for() -> None:
    some = bursty(LIKE, [], parse_bursts("5:10:30"), count=8000, seed=1)
    times = [one.time_s for one in some]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(8000 / 5 * 4, rel=0.15)
    gaps = [b - a for a, b in pairwise(times)]
    assert sum(gap < 1 for gap in gaps) > 0.95 * len(gaps), "within a burst they come close together"
    assert sum(gap > 5 for gap in gaps) == pytest.approx(8000 / 50, rel=0.3), "a pause after each burst"


@pytest.mark.parametrize("text", ["4", "0:1", "4:0", "4:1:urgent", "4:1:low:x", "a:b"])
def test_a_bad_mix_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--mix"):
        parse_mix(text)


@pytest.mark.parametrize("text", ["4", "0:1:1", "4:0:1", "4:1:-1", "a:b:c"])
def test_bad_bursts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--bursty"):
        parse_bursts(text)
