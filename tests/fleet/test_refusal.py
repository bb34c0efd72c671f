"""What the fleet will never run is told before it is queued."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import VERSION, Ready
from laterna.contracts.station import Station
from laterna.errors import ModelTooLarge, NoRunner
from laterna.fleet.local import LocalFleet
from tests.fleet.test_local import Ear, fleet

MODEL = ModelRef(id="a/b", revision="1", family="blank", weights="builtin:none", resident_bytes=1000)


def idle_fleet(count: int) -> LocalFleet:
    """Workers that were never started."""
    return LocalFleet([Station(name=f"w{n}", device="cpu", media="", state="") for n in range(count)], Ear())


def ready(memory_bytes: int, widening: int = 1) -> Ready:
    wide = {MODEL.family: widening}
    return Ready(version=VERSION, pid=1, device="x", device_name="x", memory_bytes=memory_bytes, widening=wide)


def test_nothing_is_refused_before_all_workers_are_known() -> None:
    found = idle_fleet(2)
    assert found.refusal(MODEL) is None
    found.workers["w0"].ready = ready(10)
    assert found.refusal(MODEL) is None


@pytest.mark.parametrize(
    ("devices", "fits"),
    [
        ([(999, 1)], False),
        ([(1000, 1)], True),
        ([(1999, 2)], False),
        ([(2000, 2)], True),
        ([(10, 1), (1000, 1)], True),
        ([(1999, 2), (999, 1)], False),
        ([(1999, 2), (1000, 1)], True),
    ],
)
def test_a_model_must_fit_the_roomiest_device(devices: list[tuple[int, int]], fits: bool) -> None:
    found = idle_fleet(len(devices))
    for number, (memory, widening) in enumerate(devices):
        found.workers[f"w{number}"].ready = ready(memory, widening)
    refused = found.refusal(MODEL)
    if fits:
        assert refused is None
    else:
        assert isinstance(refused, ModelTooLarge)
        assert "'a/b'" in refused.message
        assert "memory_gb" in refused.message


async def test_a_real_worker_says_what_it_has(tmp_path: Path) -> None:
    ear = Ear()
    async with fleet(tmp_path, ear) as running:
        known: Ready = await ear.until(Ready)
        most = known.memory_bytes // known.widens(MODEL)
        assert running.refusal(msgspec.structs.replace(MODEL, resident_bytes=most)) is None
        assert running.refusal(msgspec.structs.replace(MODEL, resident_bytes=most + 1)) is not None


async def test_without_the_packages_that_run_models_everything_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    async with fleet(tmp_path, Ear()) as running:
        await running.workers["w"].keep()
        refused = running.refusal(MODEL)
        assert isinstance(refused, NoRunner)
        assert "laterna[models]" in refused.message
        assert running.problem() == refused.message
