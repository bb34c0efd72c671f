"""Processes are killed in the middle of work: nothing accepted is lost, and nothing is done twice in effect."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Server, wait_for

Start = Callable[..., Server]


def _rows(server: Server, query: str) -> list[Any]:
    with sqlite3.connect(f"file:{server.settings.database}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def _settled_once(server: Server, requests: list[str]) -> None:
    """Each request settled ok, with one result's outputs, and one settling event."""
    for request in requests:
        assert server.until(request, "COMPLETED")["status"] == "COMPLETED"
        assert server.result(request).status_code == 200
    outputs = dict(_rows(server, "SELECT request_id, COUNT(*) FROM outputs GROUP BY request_id"))
    assert outputs == dict.fromkeys(requests, 1)
    outcomes = _rows(server, "SELECT outcome FROM requests")
    assert outcomes == [("ok",)] * len(requests)


def test_a_worker_killed_in_the_middle_costs_an_attempt_not_the_request(servers: Start) -> None:
    server = servers()
    request = server.submit(num_inference_steps=20)
    server.until(request, "IN_PROGRESS")
    victim = server.worker()
    os.kill(victim.pid, signal.SIGKILL)
    _settled_once(server, [request])
    assert server.worker().pid != victim.pid
    assert any("worker died" in line["message"] for line in server.status(request)["logs"])
    assert server.stop() == 0


def test_a_server_killed_with_ten_queued_finishes_them_after_its_restart(servers: Start) -> None:
    server = servers()
    worker = server.worker()
    requests = [server.submit(num_inference_steps=20, seed=n) for n in range(10)]
    server.until(requests[0], "IN_PROGRESS")
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not worker.is_running() or worker.status() == "zombie")
    server = servers()
    _settled_once(server, requests)
    assert server.stop() == 0


@pytest.mark.slow
def test_a_request_that_kills_its_worker_each_time_fails_with_a_reason(servers: Start) -> None:
    server = servers("--set", "attempts=2")
    request = server.submit(num_inference_steps=50)
    for _ in range(2):
        wait_for(lambda: server.status(request)["status"] == "IN_PROGRESS")
        os.kill(server.worker().pid, signal.SIGKILL)
        wait_for(lambda: server.status(request)["status"] != "IN_PROGRESS")
    server.until(request, "COMPLETED")
    answer = server.result(request)
    assert answer.status_code == 503
    assert answer.json()["error_type"] == "runner_disconnected"
    after = server.submit("test/blank")
    server.until(after, "COMPLETED", "test/blank")
    assert server.stop() == 0


@pytest.mark.slow
def test_ctrl_c_gives_running_requests_back_and_they_finish_later(servers: Start) -> None:
    server = servers()
    requests = [server.submit(num_inference_steps=40, seed=n) for n in range(2)]
    server.until(requests[0], "IN_PROGRESS")
    assert server.stop(signal.SIGINT) == 0
    assert _rows(server, "SELECT state FROM requests") == [("queued",), ("queued",)]
    assert _rows(server, "SELECT MAX(attempts) FROM requests") == [(0,)]
    server = servers()
    _settled_once(server, requests)
    assert server.stop() == 0
