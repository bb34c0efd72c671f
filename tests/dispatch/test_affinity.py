"""What comes with the same hint goes to the same worker, each tenant's hints its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from laterna.catalog.catalog import Catalog
from laterna.clock import ManualClock
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import VERSION, Ready
from laterna.dispatch import affinity
from laterna.dispatch.affinity import Affinity
from laterna.dispatch.choosing import Choosing
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.windows import Window
from laterna.requests.requests import Waiting
from tests.e2e.conftest import write_cards

JOB = TextToImage(prompt="x", width=64, height=64, steps=4, sampler="euler", seed=1)


def waiting(name: str, hint: str | None, tenant: str = "a") -> Waiting:
    return Waiting(
        id=name, tenant=tenant, weight=1, virtual_ns=0, card_id="test/blank", priority=1, created_us=0,
        finish_by_us=None, runner_hint=hint, generation=JOB,
    )  # fmt: skip


def test_a_hint_is_remembered_for_its_tenant_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "REMEMBERED", 2)
    known = Affinity()
    assert known.worker("a", None) is None
    assert known.worker("a", "cpu-1") == "cpu-1", "a worker's name means that worker"
    known.note("a", "s", "gpu-0")
    known.note("b", "s", "gpu-1")
    assert (known.worker("a", "s"), known.worker("b", "s"), known.worker("c", "s")) == ("gpu-0", "gpu-1", "s")
    known.note("a", "s", "gpu-2")
    known.note("a", "t", "gpu-0")
    assert (known.worker("a", "s"), known.worker("b", "s")) == ("gpu-2", "s"), "the one unused for longest went"


def test_a_session_stays_where_it_began(tmp_path: Path) -> None:
    write_cards(tmp_path)
    choosing = Choosing(Catalog.load(tmp_path / "cards"), Estimates({}), ManualClock(), lambda model: None)
    windows = []
    for name in ("a", "b", "c"):
        device = Ready(version=VERSION, pid=1, device=name, device_name=name, memory_bytes=10**9)
        windows.append(Window(worker=name, device=device, ready=True, resident=frozenset(["test/blank@1"])))
    others = [waiting(f"o{n}", None) for n in range(2)]
    made = choosing.choose([*others, waiting("first", "session")], windows)
    [home] = [worker for worker, some in made.given.items() if "first" in {one.id for one in some}]
    for number in range(5):
        given = choosing.choose([waiting(f"later{number}", "session")], windows).given
        assert list(given) == [home]
        given = choosing.choose([waiting(f"theirs{number}", f"to-{number}", tenant="b")], windows).given
        assert sum(len(some) for some in given.values()) == 1
    named = choosing.choose([waiting("named", "c")], windows).given
    assert list(named) == ["c"]
