"""The shape of the code: who may import whom, no cycles, no torch in the server, no model in generic code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "laterna"

EDGE = {
    "errors",
    "config",
    "clock",
    "private",
    "contracts",
    "metrics",
    "tracing",
    "logs",
}  # may be imported by everybody
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors"},
    "clock": set(),
    "private": set(),
    "metrics": {"__version__"},
    "tracing": {"__version__", "errors"},
    "logs": set(),
    "contracts": {"errors"},
    "store": set(),
    "catalog": set(),
    "media": set(),
    "tls": set(),
    "tenants": {"store"},
    "queue": {"store"},
    "billing": {"store", "catalog"},
    "requests": {"queue", "billing", "tenants", "store"},
    "scheduler": set(),
    "samplers": set(),
    "lora": set(),
    "compiler": set(),
    "families": {"samplers", "compiler", "lora"},
    "engine": {"families", "samplers", "scheduler"},
    "worker": {"compiler", "engine", "families", "lora", "media", "scheduler"},
    "fleet": set(),
    "dispatch": {"requests", "scheduler", "fleet", "catalog", "media"},
    "api": {"requests", "billing", "catalog", "media", "tenants", "store", "dispatch"},
    "simulation": {"scheduler", "dispatch", "queue", "store"},
    "server": {
        "api",
        "catalog",
        "dispatch",
        "fleet",
        "media",
        "requests",
        "store",
        "tenants",
        "tls",
        "queue",
        "billing",
    },
    "cli": {"server", "catalog", "tls", "media", "api", "store", "dispatch", "scheduler", "simulation"},
    "models": set(),
}
TORCH = {"samplers", "compiler", "lora", "families", "engine", "worker"}
GENERIC = ("engine", "scheduler", "worker", "dispatch", "fleet", "queue", "requests", "samplers")
MODEL_NAMES = re.compile(r"\b(flux|sdxl|stable_?diffusion|sprite|wan|kokoro)\b", re.IGNORECASE)


def modules() -> dict[str, Path]:
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("laterna", *path.relative_to(SOURCE).with_suffix("").parts)
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Names of modules that the file imports; under TYPE_CHECKING nothing is imported."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def package(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name: str) -> None:
    here = package(name)
    if not here:
        return
    assert here in MAY_IMPORT, f"package {here} has no line in the table of imports"
    targets = {package(t) for t in imports(MODULES[name], top_level_only=False) if t.startswith("laterna.")}
    wrong = targets - {here, "", "__version__"} - EDGE - MAY_IMPORT[here]
    if here in EDGE:
        wrong = targets - {here, ""} - MAY_IMPORT[here]
    assert not wrong, f"{name} may not import {sorted(wrong)}"


def test_no_import_cycles() -> None:
    graph = {n: {t for t in imports(p, top_level_only=True) if t in MODULES and t != n} for n, p in MODULES.items()}
    done: set[str] = set()

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, " -> ".join((*path, node))
        if node not in done:
            for target in graph[node]:
                visit(target, (*path, node))
            done.add(node)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", sorted(n for n in MODULES if package(n) not in TORCH))
def test_only_the_worker_loads_torch(name: str) -> None:
    heavy = {"torch", "diffusers", "transformers", "safetensors"}
    assert not {target.split(".")[0] for target in imports(MODULES[name], top_level_only=False)} & heavy


def test_the_server_starts_without_torch() -> None:
    code = "import sys, laterna.server.server, laterna.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("folder", GENERIC)
def test_generic_code_names_no_model(folder: str) -> None:
    for path in (SOURCE / folder).rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not MODEL_NAMES.search(line) or line.lstrip().startswith("#"), f"{path}:{number}: {line}"


def test_nothing_waits_in_a_way_that_loses_a_cancellation() -> None:
    """`asyncio.wait_for` of Python 3.11 drops one that comes as its wait ends: what was stopped goes on for ever."""
    assert not [name for name, path in MODULES.items() if "asyncio.wait_for(" in path.read_text()]


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for named in re.findall(r"`((?:src|tests|docs|bench|zoo|decisions|web)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), f"ARCHITECTURE.md names {named}, which does not exist"


def test_the_repository_speaks_of_the_product_alone() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    private = re.compile(r"/work/(main|shared|\.library)|/root/|/tmp/venv|artifactory|pypi-more")
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".yaml"}
            and path != Path(__file__)
            and path.exists()
        ):
            assert not private.search(path.read_text(errors="ignore")), f"{name} names a place of its makers"
