"""The official JavaScript client, unmodified, under node: by the proxy endpoint and by mapped URLs."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.e2e.conftest import Server, laterna
from tests.tools import node, node_folder, tool


@pytest.fixture(scope="module")
def said(server: Server) -> dict[str, Any]:
    environment = {**os.environ, "LATERNA_URL": server.address.http, "FAL_KEY": server.key}
    command = [tool("node"), str(node_folder() / "client.mjs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_run_gives_data_and_request_id(said: dict[str, Any]) -> None:
    assert said["run"]["data"]["seed"] == 5
    assert said["run"]["requestId"]


def test_subscribe_polls_through_all_states(said: dict[str, Any]) -> None:
    assert said["subscribe"]["data"]["seed"] == 6
    assert said["updates"][-1] == "COMPLETED"
    assert "IN_PROGRESS" in said["updates"]


def test_subscribe_by_status_stream(said: dict[str, Any]) -> None:
    assert said["streamingSubscribe"]["data"]["seed"] == 7
    assert said["streamed"][-1] == "COMPLETED"


def test_submit_and_cancel(said: dict[str, Any]) -> None:
    assert said["status"] in ("IN_QUEUE", "IN_PROGRESS")
    assert said["cancelled"]["status"] == 499


def test_stream_ends_with_the_complete_output(said: dict[str, Any]) -> None:
    assert said["events"] > 1
    assert said["done"]["images"][0]["width"] == 64


def test_upload_and_download(said: dict[str, Any]) -> None:
    assert said["downloaded"] == [1, 2, 3]


def test_errors_are_the_clients_own(said: dict[str, Any]) -> None:
    assert said["invalid"] == {"name": "ValidationError", "status": 422, "fields": [["body", "prompt"]]}
    assert said["unauthorized"]["status"] == 401
    assert said["unauthorized"]["message"]


def test_realtime_through_the_intercepting_proxy(server: Server) -> None:
    """Its address is written into the client, and node reaches it by a proxy from version 22.21 on."""
    path = str(node_folder() / "realtime.mjs")
    done = laterna(server.data, "exec", "--", node((22, 21)), path)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["results"] == [[1, [137, 80, 78, 71]], [2, [137, 80, 78, 71]]]
    assert said["errors"] == ["invalid_input"]
    assert said["tokens"] == ["test/slow/realtime"]
