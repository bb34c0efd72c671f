"""What `laterna serve` says when it is up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Server, wait_for


def test_its_lines_work_when_they_are_pasted(servers: Callable[..., Server], tmp_path: Path) -> None:
    server = servers()
    said = wait_for(lambda: (server.data / "stderr").read_text().partition("in another terminal:")[2])
    lines = [line.strip().replace("laterna/sprite", "test/blank") for line in said.splitlines() if line.strip()]
    assert [word for line in lines for word in (" run ", " exec ", " env", " models", "curl ") if word in line]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LATERNA")}
    script = "set -e\n" + "\n".join(lines).replace("fox.png", str(tmp_path / "fox.png"))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    assert "fox.png" in done.stdout
    assert done.stdout.count("'images'") + done.stdout.count('"images"') == 2
