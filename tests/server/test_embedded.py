"""The server of `laterna run`: it serves all who use it, outlives none of them, and is started once."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from laterna.config import load
from laterna.server.address import Address, read_address
from laterna.store.lock import FolderLock
from tests.e2e.conftest import Server, laterna, submitted, wait_for, write_cards

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_cards(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(data: Path) -> Iterator[Run]:
    """Starts `laterna run` on a model of a tenth of a second a step."""
    started: list[subprocess.Popen[str]] = []

    def begin(name: str, steps: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "laterna.cli", "run", "test/slow", "x", "-o", str(data.parent / name)]
        command += ["--data", str(data), "-i", f"num_inference_steps={steps}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()
    wait_for(lambda: FolderLock.holder(data) is None)


def address(data: Path) -> Address:
    return wait_for(lambda: read_address(data / "server.json"))


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGTERM, signal.SIGHUP))],
)
def test_it_stops_when_its_only_user_is_ended(data: Path, run: Run, how: signal.Signals) -> None:
    user = run("o.png", 50)
    server = psutil.Process(address(data).pid)
    workers = wait_for(server.children)
    user.send_signal(how)
    user.wait(30)
    _, alive = psutil.wait_procs([server, *workers], 40)
    assert not alive
    assert not (data / "server.json").exists()


@pytest.mark.slow
def test_a_second_run_is_not_cut_off_when_the_first_one_ends(data: Path, run: Run) -> None:
    first = run("one.png", 5)
    address(data)
    second = run("two.png", 50)
    assert first.wait(60) == 0
    assert second.wait(60) == 0, second.communicate()
    assert (data.parent / "two.png").stat().st_size > 0
    assert "starting" not in second.communicate()[1]


@pytest.mark.slow
def test_a_second_run_is_not_cut_off_when_the_first_one_is_killed(data: Path, run: Run) -> None:
    first = run("one.png", 50)
    server = address(data)
    second = run("two.png", 30)
    lock = str(data / "embedded.lock")
    wait_for(lambda: any(file.path == lock for file in psutil.Process(second.pid).open_files()))
    first.kill()
    assert second.wait(60) == 0, second.communicate()
    wait_for(lambda: not psutil.pid_exists(server.pid))


def test_runs_that_start_at_once_share_one_server(data: Path, run: Run) -> None:
    users = [run(f"{number}.png", 5) for number in range(3)]
    for user in users:
        assert user.wait(90) == 0, user.communicate()
    assert sorted(path.name for path in data.parent.glob("*.png")) == ["0.png", "1.png", "2.png"]
    wait_for(lambda: FolderLock.holder(data) is None)


@pytest.mark.slow
def test_one_run_after_another(data: Path, run: Run) -> None:
    """The second may come while the first one's server is stopping."""
    for number in range(2):
        assert run(f"{number}.png", 1).wait(60) == 0
    assert FolderLock.holder(data) is None


def test_an_interrupted_run_cancels_its_request_and_leaves_no_server(data: Path, run: Run) -> None:
    user = run("o.png", 50)
    server = address(data)
    wait_for(lambda: submitted(data))
    user.send_signal(signal.SIGINT)
    assert user.wait(30) == 130
    assert "cancelled" in user.communicate()[1]
    assert not psutil.pid_exists(server.pid)


@pytest.mark.slow
def test_its_log_holds_no_key_and_an_open_folder_is_closed(data: Path, run: Run) -> None:
    data.chmod(0o755)
    assert run("o.png", 1).wait(60) == 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    secret = (data / "key").read_text().strip().partition(":")[2]
    assert secret not in (data / "embedded.log").read_text()


def test_why_it_does_not_start_is_said(data: Path) -> None:
    (data / "cards" / "bad.toml").write_text("id = 1")
    done = laterna(data, "run", "test/blank", "x", "-o", str(data.parent / "o.png"))
    assert done.returncode == 1
    assert "embedded server did not start" in done.stderr
    assert "bad.toml" in done.stderr


@pytest.mark.slow
def test_a_server_that_was_killed_does_not_count_whoever_has_its_process_id(
    servers: Callable[..., Server], tmp_path: Path
) -> None:
    killed = servers()
    killed.process.kill()
    killed.process.wait()
    file = load({"data": tmp_path}, {}).address_file
    stale = file.read_text().replace(f'"pid":{killed.process.pid}', f'"pid":{os.getpid()}')
    file.write_text(stale)
    assert str(os.getpid()) in stale
    assert read_address(file) is None
    status = laterna(tmp_path, "status")
    assert status.returncode == 1
    assert "laterna serve" in status.stderr
    assert "Traceback" not in status.stderr
    done = laterna(tmp_path, "run", "test/blank", "x", "-o", str(tmp_path / "o.png"))
    assert done.returncode == 0, done.stderr
