"""What owners are told of the end, and what is refused because it could not be in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from laterna.catalog.catalog import Catalog
from laterna.clock import ManualClock
from laterna.contracts.generation import work_tokens
from laterna.contracts.messages import VERSION, Lease, Observation, Ready
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.dispatch.windows import Holding, Window
from laterna.errors import DeadlineUnreachable
from laterna.requests.requests import Total, Waiting
from laterna.scheduler.cost import CostModel
from laterna.scheduler.forecast import Load
from tests.e2e.conftest import write_cards
from tests.requests.conftest import job, submission

STEP_SECONDS = 1.0
OWN_SECONDS = 4 * STEP_SECONDS + 0.2  # of `job()`, with an encode and a decode


def observed(stage: str, seconds: float, worker_tokens: int = 0) -> Observation:
    tokens = worker_tokens or work_tokens(job())
    return Observation(model="test/blank@1", stage=stage, tokens=tokens, batch=1, device_ns=round(seconds * 1e9))


class Scene:
    """A server's ETAs over a device of which the costs are known."""

    def __init__(self, folder: Path) -> None:
        write_cards(folder)
        self.clock = ManualClock()
        self.estimates = Estimates({})
        for stage, seconds in (("encode", 0.1), ("denoise", STEP_SECONDS), ("decode", 0.1)):
            for _ in range(3):
                self.estimates.learn("cpu", observed(stage, seconds))
        self.etas = Etas(Catalog.load(folder / "cards"), self.estimates, self.clock)
        device = Ready(version=VERSION, pid=1, device="cpu", device_name="cpu", memory_bytes=10)
        self.window = Window(worker="cpu", device=device, ready=True)

    def look(self, waiting: int = 0, tenant: str = "flood") -> None:
        one = Waiting(
            runner_hint=None,
            id="w", tenant=tenant, weight=1, virtual_ns=0, card_id="test/blank", priority=1, created_us=0,
            finish_by_us=None, generation=job(),
        )  # fmt: skip
        total = Total(
            tenant=tenant, card_id="test/blank", priority=1, work=work_tokens(job()) * 4, count=waiting,
            first_us=0, last_us=1,
        )  # fmt: skip
        self.etas.look([one] if waiting else [], [total] if waiting else [], [self.window])

    def check(self, **changes: Any) -> None:
        now = self.clock.now_us()
        deadlines = {name: now + round(seconds * 1e6) for name, seconds in changes.items() if name.endswith("_us")}
        self.etas.check(submission(**{**changes, **deadlines}))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_deadline_that_can_be_made_is_taken_and_one_that_cannot_is_refused(scene: Scene) -> None:
    scene.look()
    scene.check(finish_by_us=OWN_SECONDS)
    scene.check(start_by_us=0.1)
    with pytest.raises(DeadlineUnreachable, match=r"finish_by lies 1\.0 s ahead"):
        scene.check(finish_by_us=1.0)


def test_what_waits_ahead_counts_for_both_deadlines(scene: Scene) -> None:
    scene.look(waiting=100, tenant="default")
    for name in ("start_by_us", "finish_by_us"):
        with pytest.raises(DeadlineUnreachable, match=name.removesuffix("_us")):
            scene.check(**{name: 100.0})
        scene.check(**{name: 1000.0})


def test_another_tenants_flood_takes_no_more_than_its_share_of_the_time(scene: Scene) -> None:
    scene.look(waiting=10_000)
    scene.check(finish_by_us=2 * OWN_SECONDS)


def test_nothing_is_refused_while_nothing_is_known(scene: Scene) -> None:
    scene.check(finish_by_us=0.001)
    scene.look()
    scene.check(card_id="test/slow", finish_by_us=0.001)


def test_predictions_that_were_off_by_a_factor_are_put_right(scene: Scene) -> None:
    """Requests that a worker holds always take twice what it said: that is learned, and told."""
    for number in range(60):
        view = held(scene, f"r{number}", left_s=3.0)
        scene.look()
        scene.clock.advance(6.0)
        scene.etas.ended(f"r{number}", well=True)
    eta = scene.etas._predict("r", view, "waiting")
    assert eta.seconds == pytest.approx(6.0, rel=0.01)
    assert eta.low_s <= eta.seconds <= eta.high_s


def test_what_was_learned_of_predictions_is_there_after_a_restart(scene: Scene, tmp_path: Path) -> None:
    catalog, file = Catalog.load(tmp_path / "cards"), tmp_path / "etas.json"
    scene.etas = Etas(catalog, scene.estimates, scene.clock, file)
    for number in range(60):
        view = held(scene, f"r{number}", left_s=3.0)
        scene.look()
        scene.clock.advance(6.0)
        scene.etas.ended(f"r{number}", well=True)
    scene.look()
    assert file.exists(), "now and then, without being told to"
    scene.etas.save()
    again = Etas(catalog, scene.estimates, scene.clock, file)
    assert again._predict("r", view, "waiting").seconds == pytest.approx(6.0, rel=0.01)


def held(scene: Scene, name: str, left_s: float) -> Load:
    lease = Lease(request_id=name, token="t")
    scene.window.held["t"] = Holding(
        lease=lease, tenant="a", priority=1, model="test/blank@1", created_us=0, left_s=left_s
    )
    return Load(tenant="a", priority=1, left_s=left_s, first_us=0, last_us=0)


def test_each_device_has_costs_of_its_own(tmp_path: Path) -> None:
    files = {}
    for name, seconds in (("slow", 3.0), ("fast", 1.0)):
        costs = CostModel()
        for stage in ("encode", "denoise", "decode"):
            costs.learn(observed(stage, seconds))
        files[name] = tmp_path / f"costs-{name}.json"
        costs.save(files[name])
    estimates = Estimates(files)
    one = {name: estimates.seconds(name, "test/blank@1", job()) for name in ("slow", "fast", "new")}
    assert one == pytest.approx({"slow": 18.0, "fast": 6.0, "new": 12.0})
