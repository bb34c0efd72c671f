"""What `laterna run` says when something is in its way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Server, laterna, submitted, wait_for, write_cards


@pytest.mark.parametrize("kind", ["no-folder", "a-folder", "a-file-as-folder"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_asked(tmp_path: Path, kind: str) -> None:
    write_cards(tmp_path / "data")
    (tmp_path / "file").write_text("kept")
    output = {"no-folder": "none/o.png", "a-folder": ".", "a-file-as-folder": "file/o.png"}[kind]
    done = laterna(tmp_path / "data", "run", "test/blank", "x", "-o", str(tmp_path / output))
    assert done.returncode == 1
    assert done.stderr.startswith("laterna: ")
    assert str(tmp_path / output) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "laterna.db").exists()


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    write_cards(tmp_path / "data")
    (tmp_path / "o.png").write_text("kept")
    (tmp_path / "o.png").chmod(0o400)
    done = laterna(tmp_path / "data", "run", "test/blank", "x", "-o", str(tmp_path / "o.png"))
    assert done.returncode == 1
    assert (tmp_path / "o.png").read_text() == "kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(servers: Callable[..., Server]) -> None:
    server = servers()
    done = laterna(server.data, "run", "test/blank", "x", "-o", "/dev/full")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "laterna: cannot write /dev/full: No space left on device; " + (done.stderr.strip().rpartition("; ")[2])
    ]
    assert "/files/" in done.stderr


def test_a_server_that_goes_away_is_one_line_that_names_the_request(
    servers: Callable[..., Server], tmp_path: Path
) -> None:
    server = servers()
    words = [sys.executable, "-m", "laterna.cli", "run", "test/slow", "x", "--data", str(server.data)]
    words += ["-i", "num_inference_steps=50", "-o", str(tmp_path / "o.png")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as user:
        wait_for(lambda: submitted(server.data, "running"))  # its sender knows its id by then
        server.process.kill()
        said = user.communicate(timeout=60)[1]
    assert user.returncode == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith("laterna: the server at ")
    assert "laterna status " in last
    assert "Traceback" not in said
    servers()
    request = last.rpartition("laterna status ")[2].strip("`")
    assert laterna(server.data, "status", request).returncode == 0


def test_a_folder_for_everybody_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    for command in (["run", "test/blank", "x"], ["serve"]):
        done = laterna(tmp_path / "shared", *command)
        assert done.returncode == 1
        assert "everybody" in done.stderr
        assert "Traceback" not in done.stderr
