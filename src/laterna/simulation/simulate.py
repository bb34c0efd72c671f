"""One trace on the devices wanted, under one policy: the whole of a simulation."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from laterna.errors import ConfigError
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import Policy
from laterna.simulation.curves import Measured
from laterna.simulation.device import Arrival, Completion, Device, Scheduling
from laterna.simulation.first_come import FirstCome
from laterna.simulation.fleet import NONE, Fleet, Overheads
from laterna.simulation.results import Result, result

LATERNA, FIRST_COME = "laterna", "first-come"
POLICIES: dict[str, Scheduling] = {LATERNA: Policy, FIRST_COME: FirstCome}


def simulate(
    arrivals: Sequence[Arrival],
    devices: Mapping[str, CostModel],
    *,
    policy: str = LATERNA,
    overheads: Overheads = NONE,
    seed: int = 0,
    answered: Callable[[], None] = lambda: None,
) -> Result:
    """Run all arrivals to the end.

    Args:
        arrivals: at least one.
        devices: by name, what calls cost on each; they are left as they are.
        policy: of POLICIES.
        seed: of how calls vary.
        answered: told for each request, in the order in which they end.

    Raises:
        ConfigError: for a policy that there is not.
    """
    if policy not in POLICIES:
        raise ConfigError(f"--policy: {policy!r}: expected one of {', '.join(POLICIES)}")
    draw = random.Random(seed)
    made = {name: _device(costs, POLICIES[policy], draw) for name, costs in devices.items()}
    fleet = Fleet(made, overheads, POLICIES[policy], seed)
    done = list[Completion]()
    for one in fleet.run(_alike(arrivals) if policy == FIRST_COME else arrivals):
        done.append(one)
        answered()
    own = {arrival.id: arrival for arrival in arrivals}
    done = [replace(one, arrival=own[one.arrival.id]) for one in done]
    return result(policy, done, {name: device.busy_s for name, device in made.items()})


def _device(costs: CostModel, scheduling: Scheduling, draw: random.Random) -> Device:
    measured = Measured(costs=costs, draw=draw)
    return Device(
        measured.call_seconds,
        copy.deepcopy(costs),
        between_seconds=measured.between_seconds,
        scheduling=scheduling,
    )


def _alike(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Without classes and tenants: who comes first is all that counts."""
    return [replace(arrival, priority=1, tenant="everybody", weight=1.0) for arrival in arrivals]
