"""The docs say what the code does: derived pages are fresh, every error code and every linked file is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.build import pages
from laterna.errors import LaternaError

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def codes(kind: type[LaternaError] = LaternaError) -> Iterator[str]:
    yield kind.code
    for below in kind.__subclasses__():
        yield from codes(below)


def test_derived_pages_are_fresh() -> None:
    for path, text in pages().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make docs`"


INTERNAL = {
    "config_error",
    "invalid_input",
    "conflict",
    "refused",
    "weights_error",
    "adapter_error",
}  # never sent by themselves


@pytest.mark.parametrize("code", sorted(set(codes()) - INTERNAL))
def test_every_error_code_has_its_line(code: str) -> None:
    assert f"`{code}`" in (ROOT / "docs" / "clients.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
