"""The commands, as people type them."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.e2e.conftest import Server, laterna, wait_for, write_cards


def picture(path: Path | str) -> tuple[str | None, tuple[int, int]]:
    with Image.open(path) as opened:
        opened.load()
        return opened.format, opened.size


def test_run_saves_a_picture_and_prints_its_name(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "out.png"
    done = laterna(server.data, "run", "test/blank", "a fox", "-o", str(file), "-i", "seed=3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(file)
    assert picture(file) == ("PNG", (64, 64))
    assert laterna(server.data, "verify", str(file)).returncode == 0, "it is signed by that server"


def test_run_saves_each_of_several_pictures(server: Server, tmp_path: Path) -> None:
    words = [
        "run",
        "test/blank",
        "a fox",
        "-o",
        str(tmp_path / "o.jpg"),
        "-i",
        "num_images=3",
        "-i",
        "output_format=jpeg",
    ]
    done = laterna(server.data, *words)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert [Path(name).name for name in names] == ["o-1.jpg", "o-2.jpg", "o-3.jpg"]
    assert {picture(name) for name in names} == {("JPEG", (64, 64))}


def test_run_draws_previews_while_it_runs(server: Server, tmp_path: Path) -> None:
    words = ["run", "test/slow", "a fox", "-o", str(tmp_path / "o.png"), "--preview", "-i", "num_inference_steps=10"]
    done = laterna(server.data, *words, FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert "▀" in done.stderr


def test_run_without_a_server_starts_one_for_the_call(tmp_path: Path) -> None:
    write_cards(tmp_path / "data")
    file = tmp_path / "out.png"
    done = laterna(tmp_path / "data", "run", "test/blank", "x", "-o", str(file))
    assert done.returncode == 0, done.stderr
    assert picture(file) == ("PNG", (64, 64))
    assert not (tmp_path / "data" / "server.json").exists()


def test_run_says_what_is_wrong_with_the_input(server: Server) -> None:
    done = laterna(server.data, "run", "test/blank", "x", "-i", "num_inference_steps=1000000")
    assert done.returncode == 1
    assert "num_inference_steps" in done.stderr
    unknown = laterna(server.data, "run", "test/blunk", "x")
    assert unknown.returncode == 1
    assert "test/blank" in unknown.stderr


def test_models_lists_endpoints_without_a_server(tmp_path: Path) -> None:
    listed = json.loads(laterna(tmp_path, "models", "--json").stdout)
    assert "laterna/sprite" in {model["endpoint"] for model in listed}
    assert "laterna/sprite" in laterna(tmp_path, "models").stdout


def test_status_and_cancel(server: Server) -> None:
    request = server.submit(num_inference_steps=50)
    assert json.loads(laterna(server.data, "status", request, "--json").stdout)["request_id"] == request
    assert laterna(server.data, "cancel", request).returncode == 0
    server.until(request, "COMPLETED", seconds=10)
    assert "cancel" in laterna(server.data, "status", request).stdout
    assert laterna(server.data, "status").returncode == 0
    unknown = laterna(server.data, "cancel", "0190a6a0-0000-7000-8000-000000000000")
    assert unknown.returncode == 1


def test_env_prints_shell_lines_that_a_shell_takes(server: Server) -> None:
    lines = laterna(server.data, "env", "--intercept").stdout
    script = lines + '\nprintf "%s" "$FAL_KEY|$FAL_RUN_HOST|$HTTPS_PROXY"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    key, host, proxy = said.split("|")
    assert (key, host) == (server.key, server.address.tls)
    assert server.address.intercept_token in proxy


def test_commands_still_work_where_the_clients_settings_are(server: Server) -> None:
    assert laterna(server.data, "models", LATERNA_URL=server.address.http).returncode == 0


def test_exec_hands_on_the_exit_status_and_needs_a_server(server: Server, tmp_path: Path) -> None:
    assert laterna(server.data, "exec", "--", "sh", "-c", "exit 7").returncode == 7
    alone = laterna(tmp_path, "exec", "--", "true")
    assert alone.returncode == 1
    assert "laterna serve" in alone.stderr


def test_certs_says_where_they_are(server: Server) -> None:
    paths = json.loads(laterna(server.data, "certs", "--json").stdout)
    assert all(Path(path).exists() for path in paths.values())


def test_the_key_is_the_owners_alone(server: Server) -> None:
    assert server.settings.key_file.stat().st_mode & 0o777 == 0o600
    with (server.settings.database).open("rb") as database:
        assert server.key.encode() not in database.read()


def test_unknown_settings_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = laterna(tmp_path, "serve", "--set", "prot=1")
    assert done.returncode == 1
    assert "prot" in done.stderr
    assert "port" in done.stderr


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    done = laterna(server.data, "serve", "--port", "0", "--tls-port", "0")
    assert done.returncode == 1
    assert str(server.process.pid) in done.stderr


def test_health_and_ready(server: Server) -> None:
    with server.http() as http:
        assert http.get("/health").status_code == 200
        wait_for(lambda: http.get("/ready").status_code == 200)


def test_previews_are_pictures(server: Server) -> None:
    with (
        server.http() as http,
        http.stream("POST", "/test/slow/stream", json={"prompt": "x", "num_inference_steps": 12}) as answer,
    ):
        lines = [line.removeprefix("data:") for line in answer.iter_lines() if line.startswith("data:")]
    first = json.loads(lines[0])["images"][0]["url"]
    assert Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2]))).size == (64, 64)


def test_help_answers_in_a_blink() -> None:
    """No timing: nothing heavy may be imported before a command is chosen."""
    imported = [sys.executable, "-X", "importtime", "-m", "laterna.cli", "--help"]
    said = subprocess.run(imported, capture_output=True, text=True, check=True, env={**os.environ}).stderr
    heavy = ("torch", "pydantic", "sqlalchemy", "starlette", "numpy", "rich.progress", "cryptography")
    loaded = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert not loaded & set(heavy)
