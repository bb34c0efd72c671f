"""Runs every benchmark one after another; figures and plots go to bench/out/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("platform", "page", "engine", "caching", "promises", "simulation", "serving")

if __name__ == "__main__":
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    failed = 0
    for name in NAMES:
        files = ["--json", str(out / f"{name}.json"), "--plot", str(out / f"{name}.png")]
        failed += subprocess.run([sys.executable, "-m", f"bench.{name}", *files, *sys.argv[1:]], check=False).returncode
    sys.exit(bool(failed))
