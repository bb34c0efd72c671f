"""What calls take, by files: published curves, what a worker learned, and what is no curve."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from laterna.contracts.messages import Observation
from laterna.errors import ConfigError
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import StepPlan
from laterna.simulation.curves import Measured, read_curve

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "curve.toml"
CSV = "stage,tokens,batch,seconds\ndenoise,100,1,0.1\ndenoise,100,4,0.2\n"


def plan(stage: str, batch: int, tokens: int = 100) -> StepPlan:
    members = tuple(range(batch))
    return StepPlan(model="m", stage=stage, members=members, tokens=tokens, predicted_s=0.0, reason="")


def measured(costs: CostModel) -> Measured:
    return Measured(costs=costs, draw=random.Random(1))


def test_a_published_curve_is_read_to_the_letter_and_on_the_line_between(tmp_path: Path) -> None:
    file = tmp_path / "gpu.csv"
    file.write_text(CSV)
    device = measured(read_curve(file, ["m"]))
    assert [device.call_seconds(plan("denoise", batch)) for batch in (1, 4)] == pytest.approx([0.1, 0.2])
    assert 0.1 < device.call_seconds(plan("denoise", 2)) < 0.2
    assert device.call_seconds(plan("denoise", 1, tokens=200)) == pytest.approx(0.2, rel=0.1)
    assert device.call_seconds(plan("decode", 1)) < 1e-6, "what the file does not speak of is free"
    assert device.between_seconds(plan("denoise", 1)) == 0.0


def test_the_documented_example_is_a_curve_of_every_model() -> None:
    costs = read_curve(EXAMPLE, ["m", "n"])
    assert costs.call_seconds("n", "denoise", 1024, 4) > costs.call_seconds("n", "denoise", 1024, 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.csv", "stage,tokens,batch,seconds\nencode,100,1,0.1\n", "no call of stage denoise for 'm'"),
        ("c.csv", "stage,tokens,batch,seconds\nsleep,100,1,0.1\n", "stage = 'sleep'"),
        ("c.csv", "stage,tokens,batch,seconds\ndenoise,100,1,0\n", r"seconds = 0\.0: must be above 0"),
        ("c.csv", "stage,tokens,batch,seconds\ndenoise,100,1,nan\n", "seconds = nan"),
        ("c.csv", "stage,tokens,batch\ndenoise,100,1\n", "seconds"),
        ("c.csv", CSV + "denoise,100\n", "not a curve"),
        ("c.toml", 'source = "x"', "not a curve"),
        ("c.toml", "=", "not a curve"),
        ("c.json", "{}", "no call of stage denoise"),
    ],
)
def test_what_is_no_curve_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_curve(tmp_path / name, ["m"])


def test_learned_calls_vary_as_they_did_and_cost_the_same_in_the_mean(tmp_path: Path) -> None:
    costs, draw = CostModel(), random.Random(2)
    seen = [draw.lognormvariate(-3, 0.5) for _ in range(15)]
    for seconds in seen:
        passed = round(seconds * 1e9)
        costs.learn(Observation(model="m", stage="denoise", tokens=100, batch=2, device_ns=passed, between_ns=passed))
    costs.save(tmp_path / "costs-gpu.json")
    device = measured(read_curve(tmp_path / "costs-gpu.json", ["m"]))
    for take in (device.call_seconds, device.between_seconds):
        drawn = [take(plan("denoise", 2)) for _ in range(4000)]
        assert sum(drawn) / len(drawn) == pytest.approx(sum(seen) / len(seen), rel=0.05)
        assert max(drawn) == pytest.approx(max(seen), rel=0.01)
