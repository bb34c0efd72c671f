"""Devices behind one queue, as dispatch fills them: nothing lost, nothing gained, one device as a device alone."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.scheduler.cost import CostModel
from laterna.simulation.device import Arrival, Completion, Device
from laterna.simulation.fleet import Fleet, Overheads
from tests.simulation.test_device import call_seconds, poisson, solo


def fleet(count: int, gain: float = 0.5, overheads: Overheads | None = None) -> Fleet:
    devices = {f"device {n}": Device(call_seconds(gain), CostModel()) for n in range(count)}
    return Fleet(devices, overheads or Overheads())


def mean_latency(done: list[Completion]) -> float:
    return sum(one.latency_s for one in done) / len(done)


def test_one_device_behind_a_queue_is_about_the_device_alone() -> None:
    alone = mean_latency(list(Device(call_seconds(0.5)).run(poisson(0.8, 200))))
    behind = mean_latency(list(fleet(1).run(poisson(0.8, 200))))
    assert 0.9 < behind / alone < 1.1


def test_a_second_device_takes_its_half() -> None:
    one, two = fleet(1), fleet(2)
    done = {count: list(some.run(poisson(1.5, 200))) for count, some in ((1, one), (2, two))}
    assert mean_latency(done[2]) < 0.5 * mean_latency(done[1])
    shares = [device.busy_s for device in two.devices.values()]
    assert min(shares) > 0.35 * sum(shares)


def test_what_passes_outside_the_device_is_added() -> None:
    arrival = Arrival(id="a", at_s=3.0, model="m", tokens=64, steps=4)
    [done] = fleet(1, overheads=Overheads(before_s=0.5, after_s=(0.25,))).run([arrival])
    assert done.began_s == 3.5
    assert abs(done.latency_s - (solo(arrival) + 0.75)) < 1e-5


def test_a_device_waits_between_calls_that_follow_one_another_alone() -> None:
    device = Device(call_seconds(1.0), between_seconds=lambda plan: 1.0)
    far = [Arrival(id=str(n), at_s=100.0 * n, model="m", tokens=64, steps=4) for n in range(2)]
    assert [round(one.latency_s - solo(one.arrival), 4) for one in device.run(far)] == [5.0, 5.0]


def test_a_flood_of_what_batches_well_costs_another_tenant_little_more_than_its_share() -> None:
    """As for a device alone, but through its window, which the flood fills with what has begun, and with full calls."""
    polite = [replace(one, steps=20) for one in poisson(0.15, 100, seed=3, tenant="polite", classes=False)]
    flood = [Arrival(id=f"f{n}", at_s=0.0, model="m", tokens=64, steps=50, tenant="flood") for n in range(800)]
    beside = fleet(1, gain=0.4).run([*flood, *polite])
    against = sorted(one.latency_s for one in beside if one.arrival.tenant == "polite")
    whole = call_seconds(0.4)
    half = Fleet({"device": Device(lambda plan: 2 * whole(plan), CostModel())})
    share = sorted(one.latency_s for one in half.run(polite))
    assert sum(against) <= 1.25 * sum(share)
    assert against[98] <= 1.5 * share[98]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 4), load=st.floats(0.2, 6.0))
def test_every_request_is_answered_once_and_device_time_adds_up(seed: int, count: int, load: float) -> None:
    draw = random.Random(seed)
    some = [
        Arrival(
            id=one.id,
            at_s=one.at_s,
            model=draw.choice("mn"),
            tokens=64,
            steps=one.steps,
            samples=draw.randint(1, 4),
            tenant=draw.choice("abc"),
            weight=draw.choice((1.0, 3.0)),
            priority=draw.randint(0, 2),
        )
        for one in poisson(load, 60, seed)
    ]
    simulated = fleet(count)
    done = list(simulated.run(some))
    assert sorted(one.arrival.id for one in done) == sorted(one.id for one in some)
    assert [one.ended_s for one in done] == sorted(one.ended_s for one in done)
    used, busy = sum(one.device_s for one in done), sum(device.busy_s for device in simulated.devices.values())
    assert abs(used - busy) < 1e-6 * busy
    for one in done:
        assert one.arrival.at_s <= one.began_s + 2e-6
        assert one.began_s < one.ended_s
