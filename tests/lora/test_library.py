"""Adapters are read once, stay within their budgets, leave with their model and come back from the disk."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laterna.contracts.generation import Lora
from laterna.errors import AdapterTooLarge, MissingAdapter, UnreadableAdapter
from laterna.lora.adapter import Adapter
from laterna.lora.adapters import KEPT, Adapters
from laterna.lora.layers import Layers
from laterna.lora.library import Library
from laterna.lora.shelf import Shelf, digest_of
from tests.lora.making import library, make, peft, shelve, write
from tests.lora.networks import unet_layers, unet_networks


def adapters(lib: Library, folder: Path, count: int) -> list[str]:
    files = [
        write(folder / f"{seed}.safetensors", peft(make({"unet": unet_networks()["unet"]}, seed, only="proj_in")))
        for seed in range(count)
    ]
    return [shelve(lib.shelf, file) for file in files]


def test_an_adapter_is_read_once_for_a_model(tmp_path: Path) -> None:
    lib = library(tmp_path / "shelf")
    (digest,) = adapters(lib, tmp_path, 1)
    barrier, layers = threading.Barrier(8), unet_layers()

    def ask(_: int) -> Adapter:
        barrier.wait()
        return lib.adapter(layers, digest)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len({id(adapter) for adapter in found}) == 1
    other = Layers(unet_networks(), {})
    assert lib.adapter(other, digest) is not found[0]


@settings(max_examples=30, deadline=None)
@given(asked=st.lists(st.integers(0, 4), min_size=1, max_size=40), fits=st.integers(1, 5))
def test_the_least_recently_used_leave(asked: list[int], fits: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("library")
    roomy = library(folder / "shelf")
    digests = adapters(roomy, folder, 5)
    size = roomy.adapter(unet_layers(), digests[0]).resident_bytes
    lib = Library(roomy.shelf, budget_bytes=fits * size)
    held: dict[int, Adapter] = {}  # the least recently used first
    for number in asked:
        found = lib.adapter(unet_layers(), digests[number])
        known = held.pop(number, None)
        assert known is None or known is found, "an adapter that fits was read again"
        held[number] = found
        while len(held) > fits:
            del held[next(iter(held))]


def test_an_adapter_leaves_with_its_model(tmp_path: Path) -> None:
    lib = library(tmp_path / "shelf")
    (digest,) = adapters(lib, tmp_path, 1)
    layers = Layers(unet_networks(), {})
    lib.adapter(layers, digest)
    kept = lib.adapter(unet_layers(), digest)
    assert len(lib._held) == 2
    del layers
    gc.collect()
    assert lib.adapter(unet_layers(), digest) is kept
    assert len(lib._held) == 1


def test_a_bad_adapter_is_tried_again(tmp_path: Path) -> None:
    lib = library(tmp_path / "shelf")
    bad = tmp_path / "bad"
    bad.write_bytes(b"nothing of use")
    digest = shelve(lib.shelf, bad)
    for _ in range(2):
        with pytest.raises(UnreadableAdapter):
            lib.adapter(unet_layers(), digest)
    assert not lib._held


def test_the_shelf_keeps_what_was_used_last(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", budget_bytes=250)
    digests = []
    for number in range(4):
        file = tmp_path / "file"
        file.write_bytes(bytes([number]) * 100)
        digests.append(shelve(shelf, file, {"lora_alpha": number}))
        if number:
            shelf.take(digests[0])
    assert [shelf.has(digest) for digest in digests] == [True, False, False, True]
    path, config = shelf.take(digests[3])
    assert path.read_bytes() == bytes([3]) * 100
    assert config is not None
    assert digest_of(path, config.read_bytes()) == digests[3]
    assert len(list((tmp_path / "shelf").iterdir())) == 4, "a configuration outlived its adapter"
    with pytest.raises(MissingAdapter):
        shelf.take(digests[1])
    for no_digest in ("", "../../etc/passwd", "0" * 63, "Z" * 64):
        with pytest.raises(MissingAdapter):
            shelf.take(no_digest)


def test_a_stack_larger_than_the_budget_is_refused(tmp_path: Path) -> None:
    roomy = library(tmp_path / "shelf")
    digests = adapters(roomy, tmp_path, 2)
    size = roomy.adapter(unet_layers(), digests[0]).resident_bytes
    tight = Adapters(Library(roomy.shelf, budget_bytes=size), unet_networks(), {})
    one, two = (Lora(path="a/b", digest=digest) for digest in digests)
    assert len(tight.fitted((one,))) == 1
    with pytest.raises(AdapterTooLarge, match="lora_memory_gb"):
        tight.fitted((one, two))


def test_what_a_dead_worker_left_is_swept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", budget_bytes=250)
    young, old, folder = shelf.scratch(), shelf.scratch(), shelf.scratch()
    folder.mkdir()
    for path in (young, old, folder / "inside"):
        path.write_bytes(b"half")
    for path in (old, folder):
        os.utime(path, (0, 0))
    Shelf(tmp_path / "shelf", budget_bytes=250)
    assert list((tmp_path / "shelf").iterdir()) == [young]


@torch.inference_mode()
def test_few_compositions_stay_and_none_that_are_large(tmp_path: Path) -> None:
    """Whatever batches came before, the memory for them is bounded; each answers as it did."""
    lib = library(tmp_path / "shelf")
    digests = adapters(lib, tmp_path, 3)
    layers = [
        m for n, m in unet_networks()["unet"].named_modules() if n.endswith("proj_in") and isinstance(m, nn.Linear)
    ]
    inputs = [torch.randn(2, 3, layer.in_features) for layer in layers]
    plain = [layer(x) for layer, x in zip(layers, inputs, strict=True)]
    size = lib.adapter(unet_layers(), digests[0]).resident_bytes
    for budget in (size, 100 * size):
        at_work = Adapters(Library(lib.shelf, budget_bytes=budget), unet_networks(), {})
        seen: dict[object, list[torch.Tensor]] = {}
        for turn in range(40):
            stack = (Lora(path="a/b", digest=digests[turn % 3], scale=1.0 + turn % 7),)
            with at_work.denoising([stack, ()]):
                answers = [layer(x) for layer, x in zip(layers, inputs, strict=True)]
            for answer, earlier, before in zip(answers, seen.setdefault(stack, answers), plain, strict=True):
                assert torch.equal(answer, earlier)
                assert torch.equal(answer[1], before[1])
                assert not torch.equal(answer[0], before[0])
            *older, _ = [kept.resident_bytes for kept in at_work._kept.values()]
            assert sum(older) <= budget
            assert len(older) == min(turn, budget // size, KEPT - 1)
