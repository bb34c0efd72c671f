"""The official Replicate JavaScript client, unmodified, under node and `laterna exec`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Server, laterna
from tests.tools import node_folder, tool


@pytest.fixture(scope="module")
def said(server: Server) -> dict[str, Any]:
    done = laterna(server.data, "exec", "--no-intercept", "--", tool("node"), str(node_folder() / "replicate.mjs"))
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_run_gives_files(said: dict[str, Any]) -> None:
    assert said["urls"] == ["https:", "https:"]
    assert said["files"] == [[137, 80, 78, 71]] * 2


def test_run_by_polling_hears_of_progress(said: dict[str, Any]) -> None:
    assert said["progress"][-1] == "succeeded"
    assert "processing" in said["progress"]
    assert said["polled"] == 1


def test_stream(said: dict[str, Any]) -> None:
    assert said["stream"][-2:] == ["output", "done"]


def test_predictions_are_created_listed_and_cancelled(said: dict[str, Any]) -> None:
    assert said["cancelled"] == "canceled"
    assert said["listed"]
    assert said["version"]


def test_models_files_and_account(said: dict[str, Any]) -> None:
    assert said["search"] == ["blank", "slow"]
    assert (said["file"], said["account"]) == (5, "default")


def test_errors_are_the_clients_own(said: dict[str, Any]) -> None:
    assert (said["invalid"]["name"], said["invalid"]["status"]) == ("ApiError", 422)
    assert "input.num_images" in said["invalid"]["text"]
    assert said["unauthorized"]["status"] == 401
