"""`laterna keys` and `laterna tenants`, with a server that runs and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import Server, write_cards


def asked(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a group on a data folder."""
    command = [sys.executable, "-m", "laterna.cli", *words, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def said(data: Path, *words: str) -> str:
    done = asked(data, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(data: Path, *words: str) -> Any:
    return json.loads(said(data, *words, "--json"))


def opens(server: Server, key: str) -> bool:
    with httpx2.Client(base_url=server.address.http, trust_env=False) as http:
        answer = http.get("/platform/v1/limits", headers={"authorization": f"Key {key}"})
        return answer.status_code == 200


def test_a_running_server_knows_at_once_what_the_commands_change(servers: Callable[..., Server]) -> None:
    server = servers()
    data = server.data
    said(data, "tenants", "create", "studio", "--weight", "3", "--concurrency", "2")
    key = said(data, "keys", "create", "backend", "--tenant", "studio", "--model", "test/*", "--realtime")
    key_id = key.partition(":")[0]
    assert opens(server, key)
    another = said(data, "keys", "rotate", key_id, "--tenant", "studio", "--overlap", "0")
    assert (opens(server, key), opens(server, another)) == (False, True)
    listed = told(data, "keys", "list", "--tenant", "studio")["keys"]
    assert [(one["key_id"], one["models"], one["realtime"]) for one in listed] == [(key_id, ["test/*"], True)]
    assert listed[0]["last_used_at"] is not None
    found = told(data, "tenants", "limits", "studio", "--rate", "60", "--concurrency", "none")
    assert (found["limits"]["rate_per_minute"], found["limits"]["concurrency"]) == (60, None)
    assert said(data, "tenants", "limits", "studio").startswith("studio: its share is 100% (weight 3); nothing")
    assert "studio  weight 3  rate_per_minute 60" in said(data, "tenants", "list")
    said(data, "keys", "revoke", key_id, "--tenant", "studio")
    assert not opens(server, another)
    wrong = asked(data, "keys", "revoke", key_id)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "no key" in wrong.stderr


def test_the_first_key_may_be_rotated_by_a_command_and_the_next_one_goes_on(servers: Callable[..., Server]) -> None:
    server = servers()
    before = server.key
    after = said(server.data, "keys", "rotate", before.partition(":")[0], "--overlap", "0")
    assert server.key == after != before
    assert (opens(server, before), opens(server, after)) == (False, True)
    assert told(server.data, "keys", "list")["keys"][0]["alias"] == "first"


@pytest.mark.slow
def test_without_a_server_they_work_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_cards(data)
    key = said(data, "keys", "create", "ci", "--scope", "read-only", "--days", "1")
    listed = told(data, "keys", "list")["keys"]
    assert listed[-1]["key_id"] == key.partition(":")[0]
    assert (listed[-1]["scope"], listed[-1]["expires_at"] is not None) == ("READONLY", True)
