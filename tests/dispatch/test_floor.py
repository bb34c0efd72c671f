"""The floor hears what workers say, hands all of it on, and keeps how busy they were."""

from __future__ import annotations

from pathlib import Path

from laterna.catalog.catalog import Catalog
from laterna.clock import ManualClock
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Beat, Call, FromWorker, Lease, Observation, Progress
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.dispatch.floor import KEPT, Floor
from laterna.dispatch.windows import Holding, Window

JOB = TextToImage(prompt="x", width=64, height=64, steps=4, sampler="euler", seed=1)


class Heard:
    def __init__(self) -> None:
        self.said: list[object] = []

    async def heard(self, worker: str, message: FromWorker) -> None:
        self.said.append((worker, message))

    async def lost(self, worker: str) -> None:
        self.said.append(worker)


def seen(batch: int, seconds: float) -> Observation:
    return Observation(model="m@1", stage="denoise", tokens=16, batch=batch, device_ns=round(seconds * 1e9))


def floor(hearer: Heard, windows: dict[str, Window], estimates: Estimates, clock: ManualClock) -> Floor:
    etas = Etas(Catalog.load(Path("/nonexistent")), estimates, clock)
    return Floor(hearer, lambda: windows, estimates, etas, clock)


async def test_beats_become_pulses_and_everything_is_handed_on() -> None:
    hearer, clock = Heard(), ManualClock()
    shown = floor(hearer, {"a": Window(worker="a")}, Estimates({}), clock)
    call = Call(model="m@1", stage="denoise", seconds=0.5, longest_s=9.0)
    beat = Beat(leases=[], resident=["m@1"], observed=[seen(2, 0.25), seen(4, 0.5)], call=call)
    await shown.heard("a", beat)
    (device,) = shown.devices()
    (pulse,) = device.pulses
    assert (pulse.busy_s, pulse.calls, pulse.samples, device.call) == (0.75, 2, 6, call)
    for _ in range(2 * KEPT):
        await shown.heard("a", beat)
    assert len(shown.devices()[0].pulses) == KEPT
    await shown.lost("a")
    assert (shown.devices()[0].pulses, shown.devices()[0].call) == ((), None)
    assert hearer.said[0] == ("a", beat)
    assert hearer.said[-1] == "a"


async def test_how_far_predictions_were_off_is_told_of_models_that_are_known() -> None:
    hearer, estimates = Heard(), Estimates({})
    shown = floor(hearer, {"a": Window(worker="a")}, estimates, ManualClock())
    await shown.heard("a", Beat(leases=[], resident=[], observed=[seen(2, 0.25)]))
    for _ in range(9):
        estimates.learn("a", seen(2, 0.25))
    await shown.heard("a", Beat(leases=[], resident=[], observed=[seen(2, 0.5), seen(2, 0.125)]))
    assert [pulse.missed_s for pulse in shown.devices()[0].pulses] == [0.0, 0.375]


async def test_what_is_in_hand_is_told_with_its_progress_in_order() -> None:
    estimates, window = Estimates({}), Window(worker="a")
    for name, created in (("late", 2), ("early", 1)):
        lease = Lease(request_id=name, token=name)
        window.held[name] = Holding(lease=lease, tenant="t", priority=1, model="m@1", created_us=created, left_s=1.0)
    progress = Progress(lease=window.held["late"].lease, stage="denoise", step=2, steps=4, batch=1, remaining_s=0.5)
    estimates.heard(progress)
    (device,) = floor(Heard(), {"a": window}, estimates, ManualClock()).devices()
    assert [work.held.lease.request_id for work in device.work] == ["early", "late"]
    assert [work.progress for work in device.work] == [None, progress]


async def test_predictions_are_the_learned_ones() -> None:
    estimates = Estimates({})
    shown = floor(Heard(), {}, estimates, ManualClock())
    name = "laterna/sprite@1"
    assert (shown.alone_s(name, JOB), shown.would_take("t", "laterna/sprite", JOB)) == (None, None)
    for stage in ("encode", "denoise", "decode"):
        for _ in range(5):
            estimates.learn("a", Observation(model=name, stage=stage, tokens=16, batch=1, device_ns=10**8))
    alone = shown.alone_s(name, JOB)
    told = shown.would_take("t", "laterna/sprite", JOB)
    assert alone is not None
    assert told is not None
    assert 0.3 < alone < 2.0
    assert told.low_s <= told.seconds <= told.high_s
    assert told.seconds == alone, "nobody is before it"
