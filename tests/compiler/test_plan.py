"""A plan is chosen once: found again by model and setting, whoever looks and however fast things are now."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest
import torch
from torch import nn

from laterna.compiler import kernels, prepare
from laterna.compiler.convolutions import Packed
from laterna.compiler.linears import Steady
from laterna.compiler.plan import Plans, Setting, setting_of

CPU = torch.device("cpu")
HERE = Setting(device="a CPU", threads=1, runtimes={"torch": "2.9"})
ALL = ("float32", "bfloat16", "float16")
FAST, SLOW = {"float32": 1.0, "bfloat16": 0.4}, {"float32": 1.0, "bfloat16": 5.0}


def never(place: torch.device) -> dict[str, float]:
    raise AssertionError("measured anew")


def plans(folder: Path, took: dict[str, float] = FAST, setting: Setting = HERE) -> Plans:
    return Plans(folder, CPU, setting, lambda place: took)


def test_what_was_chosen_once_is_never_measured_again(tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    chosen = plans(folder).of("m@1", ALL)
    assert chosen.dtype == "bfloat16"
    assert (folder / f"{chosen.digest}.json").exists()
    later = Plans(folder, CPU, HERE, never)
    assert later.of("m@1", ALL) == chosen
    assert later.of("m@2", ALL).dtype == "bfloat16", "what was measured holds for every model"
    assert [path.suffix for path in folder.iterdir()] == [".json"] * 3


def test_another_model_or_setting_has_a_plan_of_its_own(tmp_path: Path) -> None:
    digests = {plans(tmp_path).of(model, ALL).digest for model in ("m@1", "m@2")}
    for change in ({"threads": 2}, {"runtimes": {"torch": "3"}}, {"device": "another"}):
        setting = msgspec.structs.replace(HERE, **change)
        digests.add(plans(tmp_path, setting=setting).of("m@1", ALL).digest)
    assert len(digests) == 5


def test_a_plan_that_can_no_longer_be_carried_out_is_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plans(tmp_path).of("m@1", ALL)
    narrowed = plans(tmp_path).of("m@1", ("float32",))
    assert (first.dtype, narrowed.dtype) == ("bfloat16", "float32")
    monkeypatch.setattr("laterna.compiler.plan.kernels", lambda place, dtype: ("another way",))
    changed = plans(tmp_path).of("m@1", ALL)
    assert changed.kernels == ("another way",)
    assert len({first.digest, narrowed.digest, changed.digest}) == 3


def test_workers_that_begin_together_agree_whatever_they_measured(tmp_path: Path) -> None:
    for number in range(20):
        folder, together = tmp_path / str(number), Barrier(4)

        def begin(took: dict[str, float], folder: Path = folder, together: Barrier = together) -> str:
            def measure(place: torch.device) -> dict[str, float]:
                together.wait()
                return took

            return Plans(folder, CPU, HERE, measure).of("m@1", ALL).digest

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(begin, (FAST, SLOW, FAST, SLOW)))) == 1


def test_unreadable_files_and_folders_are_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = plans(tmp_path).of("m@1", ALL)
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert plans(tmp_path).of("m@1", ALL) == chosen
    assert Plans(tmp_path, CPU, HERE, never).of("m@1", ALL) == chosen, "mended"
    (tmp_path / "file").write_text("no folder")
    assert plans(tmp_path / "file").of("m@1", ALL) == chosen
    assert "cannot be kept" in caplog.text


def test_where_there_are_no_hard_links_plans_are_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*given: object) -> None:
        raise PermissionError("no hard links")

    monkeypatch.setattr("os.link", no_link)
    chosen = plans(tmp_path).of("m@1", ALL)
    assert Plans(tmp_path, CPU, HERE, never).of("m@1", ALL) == chosen


def test_the_present_setting_tells_threads_and_versions() -> None:
    here = setting_of(CPU)
    assert (here.threads, here.runtimes["torch"]) == (torch.get_num_threads(), torch.__version__)
    assert here == setting_of(CPU)
    torch.set_num_threads(here.threads + 1)
    try:
        assert setting_of(CPU) != here
    finally:
        torch.set_num_threads(here.threads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_tell_what_is_made_of_a_network(dtype: torch.dtype) -> None:
    convolution, linear, norm = nn.Conv2d(8, 8, 3).to(dtype), nn.Linear(8, 8).to(dtype), nn.GroupNorm(2, 8).to(dtype)
    prepare(nn.Sequential(convolution, linear, norm))
    told = " ".join(kernels(CPU, dtype))
    assert ("packed convolutions" in told) == isinstance(convolution.forward, Packed)
    assert ("linear layers" in told) == isinstance(linear.forward, Steady)
    assert "channels-first norms" in told
