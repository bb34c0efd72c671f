"""Tiny checkpoints of the families' tests, and models of them that take adapters from a shelf of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from laterna.lora.library import Library
from tests.families.conftest import _one_thread, checkpoint
from tests.lora.making import library

__all__ = ["_one_thread", "checkpoint"]

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="session")
def shelved(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return library(tmp_path_factory.mktemp("shelf"))
