"""Tools that a test needs beyond Python: absent, the test skips and says so; in CI, which installs them, it fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    assert found is not None
    return found


def node_folder() -> Path:
    """The folder with the installed JavaScript clients."""
    folder = Path(__file__).parent / "node"
    tool("node")
    if not (folder / "node_modules").exists():
        missing("the JavaScript clients are not installed: npm ci --prefix tests/node")
    return folder


def missing(what: str) -> None:
    if os.environ.get("REQUIRE_TEST_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)
