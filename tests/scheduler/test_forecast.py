"""Predicted ends: what is ahead by the policy's order, and intervals that hold what they say."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from laterna.scheduler.calibration import LATEST
from laterna.scheduler.forecast import MOST_KEPT, Backlog, Calibration, Eta, Load, Pace, Standing, kinds_of
from laterna.simulation.device import Device
from tests.simulation.test_device import call_seconds, poisson

NARROW = (("narrow", 1), ("wide",))  # kinds


def load(
    seconds: float, tenant: str = "a", priority: int = 1, at_us: int = 0, count: int = 1, last_us: int = 0
) -> Load:
    return Load(
        tenant=tenant, priority=priority, left_s=seconds, first_us=at_us, last_us=max(at_us, last_us), count=count
    )


def test_shorter_and_older_equal_requests_of_its_tenant_are_ahead() -> None:
    backlog = Backlog([load(1.0), load(2.0, at_us=5), load(2.0, at_us=50), load(8.0)])
    assert backlog.ahead_s(load(2.0, at_us=20)) == pytest.approx(3.0)


def test_of_many_alike_those_that_came_before_are_ahead() -> None:
    assert Backlog([load(1.0, count=100, at_us=0, last_us=100)]).ahead_s(load(1.0, at_us=25)) == pytest.approx(25.0)


def test_higher_classes_are_ahead_and_lower_ones_are_not() -> None:
    backlog = Backlog([load(9.0, priority=0), load(1.0, priority=2)])
    assert backlog.ahead_s(load(1.0)) == pytest.approx(9.0)


def test_of_another_tenant_no_more_is_ahead_than_its_share() -> None:
    flood = [load(1.0, "flood", count=1000)]
    level = {"a": Standing(virtual_s=7.0), "flood": Standing(virtual_s=7.0)}
    assert Backlog(flood, level).ahead_s(load(4.0)) == pytest.approx(2.0)
    heavy = {"a": Standing(virtual_s=7.0), "flood": Standing(virtual_s=7.0, weight=3.0)}
    assert Backlog(flood, heavy).ahead_s(load(4.0)) == pytest.approx(6.0)
    behind = {"a": Standing(virtual_s=20.0), "flood": Standing(virtual_s=7.0)}
    assert Backlog(flood, behind).ahead_s(load(4.0)) == pytest.approx(15.0)
    assert Backlog([load(1.0, "flood")], level).ahead_s(load(4.0)) == pytest.approx(1.0), "no more than there is"


def test_the_pace_follows_what_is_done() -> None:
    pace = Pace()
    assert pace.of(["a", "b"]) == 2.0
    for _ in range(100):
        pace.saw("a", 9.0, 3.0)
        pace.saw("b", 0.0, 3.0)
    assert pace.of(["a"]) == pytest.approx(3.0, rel=0.05)
    assert pace.of(["a", "b"]) == pytest.approx(3.1, rel=0.05)
    assert pace.of([]) == 0


def test_a_kind_of_which_little_is_known_goes_by_a_wider_one() -> None:
    calibration = Calibration()
    for number in range(50):
        calibration.told(number, 1.0, NARROW, now_s=0.0)
        calibration.ended(number, 3.0)
    assert calibration.eta(2.0, (("other",), ("wide",))) == Eta(seconds=6.0, low_s=6.0, high_s=6.0)
    assert calibration.eta(2.0, (("other",),)) == Eta(seconds=2.0, low_s=1.0, high_s=4.0)


def test_what_was_learned_outlives_a_restart_and_a_broken_file_does_not_matter(tmp_path: Path) -> None:
    calibration, draw = Calibration(), random.Random(5)
    for number in range(LATEST + 50):
        calibration.told(number, 1.0, NARROW, now_s=0.0)
        calibration.ended(number, draw.lognormvariate(1, 1))
    file = tmp_path / "etas.json"
    calibration.save(file)
    again, before = Calibration.load(file).eta(1.0, NARROW), calibration.eta(1.0, NARROW)
    assert (again.seconds, again.low_s, again.high_s) == pytest.approx(
        (before.seconds, before.low_s, before.high_s), rel=1e-3
    )
    for broken in (file.read_bytes()[:-10], b"", b'[{"kind": ["k"], "ratios": [-1]}]'):
        file.write_bytes(broken)
        assert Calibration.load(file).eta(1.0, NARROW) == Eta(seconds=1.0, low_s=0.5, high_s=2.0)


def test_what_ends_otherwise_teaches_nothing_and_what_never_ends_is_dropped() -> None:
    calibration = Calibration()
    for number in range(50):
        calibration.told(number, 1.0, (("k",),), now_s=0.0)
        calibration.forget(number)
        calibration.ended(number, 3.0)
    assert calibration.eta(2.0, (("k",),)).seconds == 2.0
    for number in range(MOST_KEPT + 10):
        calibration.told(number, 1.0, (("k",),), now_s=0.0)
    assert len(calibration._told) == MOST_KEPT


@dataclass
class Seer:
    """Predicts on a simulated device, at submission and now and then."""

    device: Device
    calibration: Calibration
    pace: Pace = field(default_factory=Pace)
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    told: list[tuple[str, float, Eta]] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)  # priorities

    def loads(self) -> dict[str, Load]:
        return {
            name: load(seconds, one.tenant, one.priority, round(one.at_s * 1e6))
            for name, seconds in self.device.left_s().items()
            for one in (self.device.running[name],)
        }

    def tell(self, name: str) -> None:
        loads = self.loads()
        mine, virtual = loads[name], self.device.policy.virtual
        backlog = Backlog(
            loads.values(), {one.tenant: Standing(virtual_s=virtual(one.tenant)) for one in loads.values()}
        )
        predicted = backlog.ahead_s(mine) / self.pace.of(["it"]) + mine.left_s
        kinds = kinds_of("running" if self.device.began(name) else "waiting", mine.priority, mine.left_s)
        self.told.append((name, self.device.now_s, self.calibration.eta(predicted, kinds)))
        self.calibration.told(name, predicted, kinds, self.device.now_s)

    def step(self) -> bool:
        before, begun = sum(one.left_s for one in self.loads().values()), self.device.now_s
        done = self.device.step()
        if done is None:
            return False
        after = sum(one.left_s for one in self.loads().values())
        self.pace.saw("it", max(0.0, before - after), self.device.now_s - begun)
        for one in done:
            self.ended[one.arrival.id] = self.device.now_s
            self.calibration.ended(one.arrival.id, self.device.now_s)
        if self.device.running and self.draw.random() < 0.05:
            self.tell(self.draw.choice(list(self.device.running)))
        return True

    def live(self, load_: float, seed: int) -> None:
        for arrival in poisson(load_, 250, seed):
            while self.device.now_s < arrival.at_s:
                if not self.step():
                    self.device.clock.advance(max(1e-6, arrival.at_s - self.device.now_s))
            self.of[arrival.id] = arrival.priority
            self.device.submit(arrival)
            self.tell(arrival.id)
        while self.step():
            pass


@pytest.mark.parametrize(("gain", "load_", "width"), [(0.45, 0.9, 1.3), (1.0, 0.7, 1.0)])
def test_intervals_hold_on_a_day_that_was_not_learned_from(gain: float, load_: float, width: float) -> None:
    """And of each class they are not much wider than the time left is long, in the median."""
    calibration = Calibration()
    Seer(Device(call_seconds(gain)), calibration).live(load_, seed=1)
    seer = Seer(Device(call_seconds(gain)), calibration)
    seer.live(load_, seed=2)
    came = [(eta, seer.ended[name] - told_s) for name, told_s, eta in seer.told]
    for priority in (1, 2):
        some = [
            (eta, took) for (name, *_), (eta, took) in zip(seer.told, came, strict=True) if seer.of[name] == priority
        ]
        widest = width * median(took for _, took in some)
        assert median(eta.high_s - eta.low_s for eta, _ in some) <= widest
    inside = sum(eta.low_s <= took <= eta.high_s for eta, took in came) / len(came)
    assert 0.85 <= inside <= 0.96
    assert median(abs(eta.seconds - took) / took for eta, took in came) <= 0.25
