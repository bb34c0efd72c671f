"""A process killed at any statement of submit, lease, settle, tell and pay: nothing is lost, nor charged twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import VARIABLE

ROOT = Path(__file__).parents[2]
LEAST = {  # points: begin, savepoint, statements, commit, and before anybody is told
    "submit": 8,
    "finish": 15,
    "end_cancelled": 12,
    "fail": 8,
    "try_again": 8,
    "crash": 8,
    "cancel": 6,
    "pay": 8,
    "take": 8,
    "deliver": 6,
    "refuse": 6,
    "redeliver": 5,
}
QUICK = ["submit", "finish", "deliver"]
REST = [name for name in LEAST if name not in QUICK]


@pytest.mark.skipif(sys.platform == "win32", reason="it forks")
@pytest.mark.skipif(VARIABLE in os.environ, reason="it copies a database with its data folder")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("deeds", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"])
def test_killed_at_each_statement_the_books_add_up(tmp_path: Path, deeds: list[str]) -> None:
    command = [sys.executable, "-m", "tests.billing.crashing", str(tmp_path), *deeds]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    points = {words[0]: int(words[1]) for words in said if words[0] in deeds}  # the others are its log's
    assert set(points) == set(deeds)
    for deed in deeds:
        assert points[deed] >= LEAST[deed]
