"""Tools that a test needs beyond Python: absent, the test skips and says so; in CI, which installs them, it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"  # the JavaScript clients, and on Linux a node that is new enough for all tests
INSTALL = "npm ci --prefix tests/node"


def tool(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    assert found is not None
    return found


def node_folder() -> Path:
    """The folder with the installed JavaScript clients."""
    tool("node")
    if not (NODE / "node_modules").exists():
        missing(f"the JavaScript clients are not installed: {INSTALL}")
    return NODE


def node(least: tuple[int, int]) -> str:
    """The path of a node of at least that version: the one beside the clients, else the machine's own."""
    beside = NODE / "node_modules" / ".bin" / "node"
    found = str(beside) if beside.exists() else tool("node")
    version = subprocess.run([found, "-p", "process.versions.node"], capture_output=True, text=True, check=True).stdout
    major, minor, _ = version.split(".")
    if (int(major), int(minor)) < least:
        missing(f"node {version.strip()} is older than {least[0]}.{least[1]}: {INSTALL}")
    return found


def missing(what: str) -> None:
    if os.environ.get("REQUIRE_TEST_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)
