"""Files and folders for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from laterna.private import private_folder, read_private, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_made_private_and_tightened_where_it_was_open(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "new")
    assert mode(tmp_path / "a" / "new") == 0o700
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o755)
    private_folder(tmp_path / "old")
    assert mode(tmp_path / "old") == 0o700


def test_everybodys_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    with pytest.raises(PermissionError, match="everybody"):
        private_folder(tmp_path / "shared")
    assert mode(tmp_path / "shared") == 0o1777


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert read_private(path) is None
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "secret\n")
    assert (mode(path), read_private(path)) == (0o600, "secret")
    write_private(path, b"public", 0o644)
    assert path.read_bytes() == b"public"
    assert [found.name for found in tmp_path.iterdir()] == ["key"]
