"""What the policy does to long arrivals, quickly: the object that serves, on a simulated device."""

from __future__ import annotations

import random

import pytest

from laterna.scheduler.policy import StepPlan
from laterna.simulation.device import Arrival, CallSeconds, Completion, Device

STEP_SECONDS, END_SECONDS = 0.1, 0.02
MIX = {4: 25, 20: 25, 28: 30, 50: 20}  # steps -> share of the requests, in hundredths; up to 20 they are interactive
MEAN_STEPS = sum(steps * share for steps, share in MIX.items()) / 100


def call_seconds(gain: float) -> CallSeconds:
    """A device on which a further sample of a batch costs `gain` of what it would cost alone."""

    def seconds(plan: StepPlan) -> float:
        alone = STEP_SECONDS if plan.stage == "denoise" else END_SECONDS
        return alone * (1 + gain * (len(plan.members) - 1))

    return seconds


def solo(arrival: Arrival) -> float:
    return arrival.steps * STEP_SECONDS + 2 * END_SECONDS


def poisson(load: float, count: int, seed: int = 1, tenant: str = "default", classes: bool = True) -> list[Arrival]:
    """Requests of the mix at a share of what one after the other could be served."""
    draw, now, found = random.Random(seed), 0.0, []
    for number in range(count):
        now += draw.expovariate(load / (MEAN_STEPS * STEP_SECONDS + 2 * END_SECONDS))
        steps = draw.choices(list(MIX), list(MIX.values()))[0]
        priority = 1 if steps <= 20 or not classes else 2
        found.append(
            Arrival(
                id=f"{tenant}{number}", at_s=now, model="m", tokens=64, steps=steps, tenant=tenant, priority=priority
            )
        )
    return found


def run(gain: float, arrivals: list[Arrival]) -> list[Completion]:
    return list(Device(call_seconds(gain)).run(arrivals))


def slowdown(done: list[Completion], share: float) -> float:
    """Of interactive requests: latency against that of a request alone, which the share of them stays below."""
    ratios = sorted(one.latency_s / solo(one.arrival) for one in done if one.arrival.steps <= 20)
    return ratios[int(share * len(ratios))]


@pytest.mark.parametrize("gain", [0.45, 0.7, 1.0])
def test_interactive_requests_stay_quick_on_a_loaded_device(gain: float) -> None:
    done = run(gain, poisson(0.7, 300))
    assert len(done) == 300
    assert slowdown(done, 0.95) <= 2.0


def test_every_request_is_served_once_for_its_own_work() -> None:
    done = run(0.5, poisson(1.5, 150))
    assert len({one.arrival.id for one in done}) == 150
    for one in done:
        assert one.device_s <= solo(one.arrival) + 1e-6, "company makes nobody's share dearer"
        assert one.arrival.at_s <= one.began_s < one.ended_s


def test_a_batch_gains_throughput_where_the_device_does() -> None:
    together, alone = (max(one.ended_s for one in run(gain, poisson(2.0, 150))) for gain in (0.3, 1.0))
    assert together < 0.7 * alone


def test_a_flood_costs_another_tenant_no_more_than_its_share() -> None:
    """Against a tenant that sends without end, another's latencies are about those of a device half as fast."""
    polite = poisson(0.2, 100, seed=3, tenant="polite", classes=False)
    flood = [Arrival(id=f"flood{n}", at_s=0.0, model="m", tokens=64, steps=20, tenant="flood") for n in range(800)]
    done = run(1.0, sorted([*polite, *flood], key=lambda one: one.at_s))
    against = sorted(one.latency_s for one in done if one.arrival.tenant == "polite")
    whole = call_seconds(1.0)
    share = sorted(one.latency_s for one in Device(lambda plan: 2 * whole(plan)).run(polite))
    assert sum(against) <= sum(share)
    assert against[98] <= 1.2 * share[98]
