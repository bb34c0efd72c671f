"""`laterna simulate`: from curves and from a folder's own costs and history, without a server."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Server, laterna

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "examples" / "curve.toml")
CURVE = ("simulate", "--curve", EXAMPLE, "--model", "a-gpu/model")
MIX = ("--mix", "4:1:normal,50:1:low", "--count", "60")


def answer(data: Path, *words: str) -> Any:
    done = laterna(data, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_curve_and_made_up_arrivals_give_a_table_for_each_policy(tmp_path: Path) -> None:
    words = (*CURVE, "--poisson", "0.5", *MIX, "--policy", "laterna", "--policy", "first-come")
    done = laterna(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "p95" in done.stdout
    assert "first-come" in done.stdout
    ours, theirs = answer(tmp_path, *words)
    assert (ours["policy"], theirs["policy"]) == ("laterna", "first-come")
    assert ours["classes"]["all"]["count"] == theirs["classes"]["all"]["count"] == 60
    assert ours["classes"]["normal"]["mean_s"] < theirs["classes"]["normal"]["mean_s"]
    assert list(ours["utilisation"]) == ["curve"]
    assert not (tmp_path / "laterna.db").exists(), "a simulation leaves nothing behind"


@pytest.mark.slow
def test_the_same_seed_is_the_same_simulation_and_more_devices_are_quicker(tmp_path: Path) -> None:
    words = (*CURVE, "--bursty", "2:20:20", *MIX)
    one = answer(tmp_path, *words, "--seed", "5")
    assert answer(tmp_path, *words, "--seed", "5") == one
    assert answer(tmp_path, *words, "--seed", "6") != one
    three = answer(tmp_path, *words, "--seed", "5", "--devices", "3")
    assert three[0]["classes"]["all"]["mean_s"] < one[0]["classes"]["all"]["mean_s"]
    assert len(three[0]["utilisation"]) == 3


def test_a_saved_trace_is_replayed_as_it_was(tmp_path: Path) -> None:
    trace = str(tmp_path / "t.csv")
    made = answer(tmp_path, *CURVE, "--poisson", "1", *MIX, "--save-trace", trace)
    assert answer(tmp_path, *CURVE, trace) == made


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_plot_is_written(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"plot.{kind}"
    answer(tmp_path, *CURVE, "--poisson", "1", *MIX, "-o", str(file))
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one source of requests"),
        (("--poisson", "1", "--bursty", "1:1:1"), "one source of requests"),
        (("--poisson", "0"), "--poisson: 0"),
        (("--poisson", "1", "--count", "0"), "--count: 0"),
        (("--poisson", "1", "--devices", "0"), "--devices: 0"),
        (("--poisson", "1", "--policy", "random"), "--policy: 'random': expected one of laterna, first-come"),
        (("--poisson", "1", "-o", "plot.gif"), "plot.gif: expected a name that ends in .png or .svg"),
        (("--history", "1"), "no history yet"),
        (("nowhere.csv",), "nowhere.csv: No such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = laterna(tmp_path, *CURVE, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_nobody_ever_ran_is_named(tmp_path: Path) -> None:
    done = laterna(tmp_path, "simulate", "--poisson", "1")
    assert done.returncode == 1
    assert "nothing is known here of what calls of laterna/sprite" in done.stderr


def test_a_plot_without_matplotlib_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "stub" / "matplotlib").mkdir(parents=True)
    (tmp_path / "stub" / "matplotlib" / "__init__.py").write_text("raise ImportError('not here')")
    path = f"{tmp_path / 'stub'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = laterna(tmp_path, *CURVE, "--poisson", "1", "-o", str(tmp_path / "p.png"), PYTHONPATH=path)
    assert done.returncode == 1
    assert "pip install matplotlib" in done.stderr


@pytest.mark.slow
def test_what_a_server_did_is_replayed_with_what_it_learned(servers: Callable[..., Server], tmp_path: Path) -> None:
    server = servers()
    for steps in (2, 3, 4):
        words = ("run", "test/slow", "x", "-i", f"num_inference_steps={steps}", "-o", str(tmp_path / "o.png"))
        assert laterna(server.data, *words).returncode == 0
    server.stop()
    trace = tmp_path / "t.csv"
    real, simulated = answer(server.data, "simulate", "--history", "1", "--save-trace", str(trace))
    assert real["policy"] == "as it was"
    assert real["classes"]["all"]["count"] == simulated["classes"]["all"]["count"] == 3
    assert simulated["device_seconds"] == pytest.approx(real["device_seconds"], rel=0.5)
    with trace.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["model"], row["steps"]) for row in rows] == [
        ("test/slow", "2"),
        ("test/slow", "3"),
        ("test/slow", "4"),
    ]
    assert float(rows[0]["time_s"]) == 0.0
