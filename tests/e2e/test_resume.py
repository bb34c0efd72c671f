"""Servers and workers are killed, hang or freeze in the middle of a run: it goes on there, and paints the same."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laterna.engine.snapshot import decode
from tests.e2e.conftest import CARD, Server, start, wait_for
from tests.e2e.test_kill import Start

STEPS = 20
SPRITE = "laterna/sprite"
EVERY_STEP = ("--set", "checkpoint_seconds=0", "--set", "attempts=5")
KILLS = [(victim, at) for victim in ("worker", "server") for at in range(1, STEPS)]
OFTEN = [("server", 12)]  # killed so in every run, the others in slow ones
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def submit(server: Server) -> str:
    asked = {"prompt": "a red fox on a teal background", "num_inference_steps": STEPS, "seed": 7}
    return server.submit(SPRITE, **asked)


def picture(server: Server, request: str) -> Pixels:
    server.until(request, "COMPLETED", SPRITE)
    answer = server.result(request, SPRITE)
    assert answer.status_code == 200, answer.text
    with server.http() as http:
        data = http.get(answer.json()["images"][0]["url"].replace("localhost", "127.0.0.1")).content
    return np.asarray(Image.open(io.BytesIO(data)))


def saved_step(server: Server, request: str) -> int:
    try:
        found = decode((server.data / "checkpoints" / f"{request}.state").read_bytes())
    except FileNotFoundError:
        return 0
    return min(state.step for state in found.samples.values())


def wait_for_step(server: Server, request: str, at: int) -> int:
    """Returns a step that is saved by now."""
    deadline = time.monotonic() + 60
    while (step := saved_step(server, request)) < at:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return step


def log_lines(server: Server, request: str, endpoint: str = SPRITE) -> str:
    return "\n".join(line["message"] for line in server.status(request, endpoint)["logs"])


def resumed_step(server: Server, request: str, endpoint: str = SPRITE) -> int:
    """The step that the request's log says it went on after; it must not have started over."""
    told = log_lines(server, request, endpoint)
    assert "starts over" not in told
    return max(int(line.split()[5].strip(",")) for line in told.splitlines() if line.startswith("it goes on after"))


def plan_digest(server: Server, request: str) -> str:
    with sqlite3.connect(f"file:{server.settings.database}?mode=ro", uri=True) as connection:
        return str(connection.execute("SELECT plan_digest FROM requests WHERE id = ?", (request,)).fetchone()[0])


def denoise_calls(server: Server, request: str) -> int:
    with sqlite3.connect(f"file:{server.settings.database}?mode=ro", uri=True) as connection:
        query = "SELECT SUM(calls) FROM usage_lines WHERE request_id = ? AND stage = 'denoise'"
        return int(connection.execute(query, (request,)).fetchone()[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixels]:
    server = start(tmp_path_factory.mktemp("undisturbed"))
    yield picture(server, submit(server))
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("victim", "at"), [kill if kill in OFTEN else pytest.param(*kill, marks=pytest.mark.slow) for kill in KILLS]
)
def test_killed_at_a_step_it_goes_on_there(servers: Start, victim: str, at: int, undisturbed: Pixels) -> None:
    server = servers(*EVERY_STEP)
    worker, request = server.worker(), submit(server)
    saved = wait_for_step(server, request, at)
    os.kill(worker.pid if victim == "worker" else server.process.pid, signal.SIGKILL)
    if victim == "server":
        server.process.wait()
        wait_for(lambda: not worker.is_running() or worker.status() == "zombie")
        server = servers(*EVERY_STEP)
    assert np.array_equal(picture(server, request), undisturbed)
    assert resumed_step(server, request) >= saved
    assert (server.data / "plans" / f"{plan_digest(server, request)}.json").exists()
    assert STEPS <= denoise_calls(server, request) <= STEPS + 1, "metered once, but for the step that was lost"
    assert server.stop() == 0


HANGS = """
import signal
import time
from pathlib import Path

from laterna.families import blank

class Hangs(blank.Blank):
    calls = 0

    def denoise(self, samples):
        self.calls += 1
        told = Path({told!r})
        if self.calls == 4 and not told.exists():
            told.write_text("hangs")
            time.sleep(3600)
        return super().denoise(samples)

def load(ref, device, *rest, **options):
    return Hangs(device, 0.05)
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family of an outsider's package, one of whose calls never comes back."""
    package = folder / "outsider"
    info = package / "hangs-1.dist-info"
    info.mkdir(parents=True)
    (package / "hangs.py").write_text(textwrap.dedent(HANGS).format(told=str(folder / "told")))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hangs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[laterna.families]\nhangs = hangs:load\n")
    (folder / "cards").mkdir()
    card = CARD.format(id="test/hangs", step_seconds=0.0).replace('family = "blank"', 'family = "hangs"')
    (folder / "cards" / "hangs.toml").write_text(card)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(package)]))


def test_a_call_that_hangs_has_its_worker_replaced(
    servers: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    server = servers("--set", "checkpoint_seconds=0", "--set", "hang_seconds=2")
    worker, request = server.worker(), server.submit("test/hangs", num_inference_steps=8)
    server.until(request, "COMPLETED", "test/hangs", 120)
    assert server.result(request, "test/hangs").status_code == 200
    assert "denoise" in log_lines(server, request, "test/hangs")
    assert "hangs since" in log_lines(server, request, "test/hangs")
    assert resumed_step(server, request, "test/hangs") == 3
    assert server.worker().pid != worker.pid
    assert server.stop() == 0


@pytest.mark.slow
def test_a_worker_that_is_frozen_is_replaced(servers: Start) -> None:
    server = servers("--set", "checkpoint_seconds=0", "--set", "hang_seconds=3", "--set", "lease_seconds=600")
    worker, request = server.worker(), server.submit(num_inference_steps=30)
    wait_for_step(server, request, 3)
    worker.suspend()
    server.until(request, "COMPLETED", seconds=120)
    assert "said nothing" in log_lines(server, request, "test/slow")
    assert resumed_step(server, request, "test/slow") >= 3
    assert server.stop() == 0
