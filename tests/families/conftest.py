"""Checkpoints that the tests of this folder share: built once, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from laterna.families.family import Family
from tests.families.checkpoints import BUILDERS, FAMILY
from tests.families.drive import load


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name -> folder of that tiny checkpoint."""
    built: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in built:
            built[name] = BUILDERS[name](tmp_path_factory.mktemp("checkpoints") / name)
        return built[name]

    return get


@pytest.fixture(scope="session")
def model(checkpoint: Callable[[str], Path]) -> Callable[[str], Family]:
    """Name -> that tiny checkpoint, loaded."""
    loaded: dict[str, Family] = {}

    def get(name: str) -> Family:
        if name not in loaded:
            loaded[name] = load(FAMILY[name], checkpoint(name))
        return loaded[name]

    return get
