"""Costs learned from calls: robust, bounded, kept, and honest about how far they may be off."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from laterna.contracts.messages import Observation
from laterna.scheduler.calibration import ENOUGH, LATEST, UNKNOWN, Residuals
from laterna.scheduler.cost import MOST_KINDS, MOST_STAGES, PRIOR_SECONDS, CostModel


def observed(
    batch: int, seconds: float, tokens: int = 16, model: str = "m@1", adapters: int = 0, skipped: int = 0
) -> Observation:
    ns = round(seconds * 1e9)
    return Observation(
        model=model, stage="denoise", tokens=tokens, batch=batch, device_ns=ns, adapters=adapters, skipped=skipped
    )


def learned(*calls: tuple[int, float], times: int = 3, tokens: int = 16) -> CostModel:
    costs = CostModel()
    for batch, seconds in calls:
        for _ in range(times):
            costs.learn(observed(batch, seconds, tokens))
    return costs


def seconds(costs: CostModel, batch: int, tokens: int = 16) -> float:
    return costs.call_seconds("m@1", "denoise", tokens, batch)


def test_outliers_and_a_slow_first_call_change_nothing() -> None:
    costs = CostModel()
    for one in (5.0, 0.1, 0.1, 0.1, 100.0, 0.1, 90.0, 0.1):
        costs.learn(observed(1, one))
    assert seconds(costs, 1) == pytest.approx(0.1)


def test_a_lasting_change_is_followed() -> None:
    costs = learned((1, 0.1), times=100)
    for _ in range(8):
        costs.learn(observed(1, 0.3))
    assert seconds(costs, 1) == pytest.approx(0.3)


def test_nothing_known_is_a_prior_and_something_is_a_guide() -> None:
    assert CostModel().call_seconds("m@1", "denoise", 16, 1) == PRIOR_SECONDS
    costs = learned((1, 0.1), (4, 0.2))
    assert seconds(costs, 2) == pytest.approx(0.1 + 0.1 / 3)
    assert seconds(costs, 6) == pytest.approx(0.2 + 2 * 0.1 / 3)
    assert seconds(costs, 1, tokens=64) == pytest.approx(0.4)
    assert 0.1 < seconds(learned((1, 0.1)), 2) < 0.2
    assert seconds(learned((8, 0.8)), 1) == pytest.approx(0.1), "small calls are tried too"
    assert seconds(learned((1, 0.1)), 4) == pytest.approx(0.4), "and large ones one after the other"
    assert seconds(learned((1, 0.1), (2, 0.11)), 5) > 0.3


def test_work_within_a_kind_counts_to_the_token() -> None:
    costs = learned((1, 1.0), tokens=1000)
    assert seconds(costs, 1, 1010) == pytest.approx(1.01)


def test_a_curve_never_falls() -> None:
    costs = learned((1, 0.1), (2, 0.3), (3, 0.2))
    assert seconds(costs, 3) == pytest.approx(0.2)
    assert seconds(costs, 5) >= 0.3


def test_adapters_and_reuse_are_other_kinds() -> None:
    costs = learned((2, 0.2))
    for _ in range(3):
        costs.learn(observed(2, 0.25, adapters=2))
        costs.learn(observed(2, 0.05, skipped=2))
    assert costs.call_seconds("m@1", "denoise", 16, 2, adapters=2) == pytest.approx(0.25)
    assert costs.call_seconds("m@1", "denoise", 16, 2, adapters=1) == pytest.approx(0.25)
    assert costs.call_seconds("m@1", "denoise", 16, 2, skipped=2) == pytest.approx(0.05)
    assert seconds(costs, 2) == pytest.approx(0.2)


def test_whatever_is_learned_the_model_stays_small(tmp_path: Path) -> None:
    costs = CostModel()
    for number in range(5000):
        costs.learn(observed(1 + number % 64, 0.1, tokens=1 + number * 37, model=f"m{number % 400}"))
    costs.save(tmp_path / "costs.json")
    assert (tmp_path / "costs.json").stat().st_size < 300 * MOST_STAGES * MOST_KINDS
    assert not costs.knows("m0") or not costs.knows("m200")
    for batch in range(1, 300):
        costs.learn(observed(batch, 0.1 * batch, model="one"))
    assert costs.call_seconds("one", "denoise", 16, 299) == pytest.approx(29.9)


def test_costs_survive_a_restart_and_a_torn_file(tmp_path: Path) -> None:
    learned((3, 0.3)).save(tmp_path / "costs.json")
    assert seconds(CostModel.load(tmp_path / "costs.json"), 3) == pytest.approx(0.3)
    assert CostModel.load(tmp_path / "costs.json").knows("m@1")
    for torn in ("[[1,", '[["m@1", "denoise", 16, 1, 0.1, 3]]', ""):
        (tmp_path / "costs.json").write_text(torn)
        assert not CostModel.load(tmp_path / "costs.json").knows("m@1")


def test_intervals_hold_what_they_say() -> None:
    """Of calls whose time scatters, nine in ten fall between the bounds told before each."""
    draw, costs, inside, told = random.Random(5), CostModel(), 0, 0
    for number in range(1500):
        low, high = costs.call_interval("m@1", "denoise", 16, 2)
        took = 0.2 * math.exp(draw.gauss(0, 0.3))
        if number >= 300:
            told += 1
            inside += low <= took <= high
        costs.learn(observed(2, took))
    assert 0.87 <= inside / told <= 0.93


def test_little_known_is_said_widely_and_old_errors_are_forgotten() -> None:
    residuals = Residuals()
    assert (residuals.interval(0.9), residuals.middle()) == (UNKNOWN, 1.0)
    for _ in range(ENOUGH):
        residuals.learn(1.0, 3.0)
    assert residuals.interval(0.9) == (3.0, 3.0)
    for _ in range(LATEST):
        residuals.learn(2.0, 2.0)
    assert (residuals.interval(0.9), residuals.middle()) == ((1.0, 1.0), 1.0)
