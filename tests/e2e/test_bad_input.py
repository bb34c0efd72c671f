"""Bad input gets a typed error in fal's shape, before anything is queued where that is possible; the rest goes on."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from safetensors.torch import save_file

from tests.e2e.conftest import CARD, Server, wait_for

Start = Callable[..., Server]


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    with server.http() as client:
        yield client


def count(server: Server) -> int:
    with sqlite3.connect(f"file:{server.settings.database}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM requests").fetchone()[0])


@pytest.mark.parametrize(
    ("body", "field", "value", "way_out"),
    [
        ({}, ["prompt"], None, "required"),
        ({"prompt": 7}, ["prompt"], 7, "valid string"),
        ({"prompt": "x" * 100_000}, ["prompt"], "x" * 200 + "… (100000 characters)", "at most 4000 characters"),
        ({"prompt": "x", "num_inference_steps": 0}, ["num_inference_steps"], 0, "greater than or equal to 1"),
        ({"prompt": "x", "num_inference_steps": 51}, ["num_inference_steps"], 51, "less than or equal to 50"),
        ({"prompt": "x", "num_inference_steps": "many"}, ["num_inference_steps"], "many", "valid integer"),
        ({"prompt": "x", "num_images": 10**9}, ["num_images"], 10**9, "less than or equal to 8"),
        ({"prompt": "x", "seed": -1}, ["seed"], -1, "greater than or equal to 0"),
        ({"prompt": "x", "output_format": "exe"}, ["output_format"], "exe", "'png', 'jpeg' or 'webp'"),
        (
            {"prompt": "x", "image_size": {"width": 10**6, "height": 64}},
            ["image_size", "width"],
            10**6,
            "less than or equal to 64",
        ),
        ({"prompt": "x", "image_size": "gigantic"}, ["image_size"], "gigantic", "sides from 64 to 64 pixels"),
    ],
)
@pytest.mark.parametrize("path", ["/queue/laterna/sprite", "/laterna/sprite", "/laterna/sprite/stream"])
def test_a_wrong_field_is_named_and_nothing_is_queued(
    server: Server, http: httpx2.Client, path: str, body: dict[str, Any], field: list[str], value: object, way_out: str
) -> None:
    before = count(server)
    answer = http.post(path, json=body)
    assert answer.status_code == 422
    problem = answer.json()["detail"][0]
    assert problem["loc"] == ["body", *field]
    assert problem.get("input") == value
    assert way_out in problem["msg"]
    assert problem["type"]
    assert answer.json()["message"] == f"body.{'.'.join(field)}: {problem['msg']}"
    assert len(answer.content) < 4000
    assert count(server) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[1]", 422), (b'"x"', 422), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b"", 422)],
)
def test_what_is_no_object_is_refused(http: httpx2.Client, content: bytes, status: int) -> None:
    answer = http.post("/queue/test/blank", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "field", "value", "way_out"),
    [
        ({"sampler": "flow_euler"}, ["sampler"], "flow_euler", "'euler_ancestral'"),
        ({"image_size": {"width": 14142, "height": 64}}, ["image_size", "width"], 14142, "less than or equal to 2048"),
        ({"num_inference_steps": 51, "sampler": "lcm"}, ["num_inference_steps"], 51, "50"),
    ],
)
def test_what_the_models_family_cannot_do_is_refused_before_anything_is_queued(
    server: Server, http: httpx2.Client, sent: dict[str, Any], field: list[str], value: object, way_out: str
) -> None:
    before = count(server)
    answer = http.post("/queue/fal-ai/fast-sdxl", json={"prompt": "x", **sent})
    assert answer.status_code == 422
    problem = answer.json()["detail"][0]
    assert (problem["loc"], problem["input"]) == (["body", *field], value)
    assert way_out in problem["msg"]
    assert count(server) == before


def test_an_oversize_body_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/queue/test/blank", content=b'{"prompt": "' + b"x" * 11_000_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "payload_too_large"
    assert "10,000,000 bytes" in answer.json()["detail"]
    assert "body_mb" in answer.json()["detail"]


def test_an_unknown_endpoint_suggests_near_ones(http: httpx2.Client) -> None:
    answer = http.post("/queue/laterna/sprit", json={"prompt": "x"})
    assert answer.status_code == 404
    assert answer.json()["error_type"] == "endpoint_not_found"
    for part in ("'laterna/sprit'", "did you mean 'laterna/sprite'"):
        assert part in answer.json()["detail"]


@pytest.mark.parametrize("key", ["", "Key wrong", "Key a:b", "Bearer x.y.z", "Basic eDp5"])
def test_a_wrong_key_is_refused(server: Server, key: str) -> None:
    with server.http() as http:
        answer = http.post("/queue/test/blank", json={"prompt": "x"}, headers={"Authorization": key})
    assert answer.status_code == 401
    assert answer.json()["error_type"] == "unauthorized"
    assert "data folder" in answer.json()["message"]


def test_an_unknown_host_is_refused(http: httpx2.Client) -> None:
    answer = http.get("/health", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert answer.json()["error_type"] == "misdirected_request"
    assert "evil.example" in answer.json()["detail"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.y/z", "http://localhost:1/", "http://a@x.y/"])
def test_a_webhook_that_is_no_plain_url_is_refused_at_once(server: Server, http: httpx2.Client, url: str) -> None:
    before = count(server)
    answer = http.post("/queue/test/blank", params={"fal_webhook": url}, json={"prompt": "x"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "fal_webhook"]
    assert count(server) == before


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://localhost:8000/"])
def test_a_webhook_that_leads_inside_is_never_delivered(server: Server, http: httpx2.Client, url: str) -> None:
    answer = http.post("/queue/test/blank", params={"fal_webhook": url}, json={"prompt": "x"})
    assert answer.status_code == 200
    server.until(answer.json()["request_id"], "COMPLETED", "test/blank")
    wait_for(lambda: "refused" in str(outbox(server, answer.json()["request_id"])) or None, 20)


def outbox(server: Server, request: str) -> Any:
    with sqlite3.connect(f"file:{server.settings.database}?mode=ro", uri=True) as connection:
        return connection.execute(
            "SELECT 'refused' FROM outbox WHERE request_id = ? AND next_us IS NULL AND delivered_us IS NULL", (request,)
        ).fetchall()


def weights_card(folder: Path, name: str, weights: Path, resident: int = 1000) -> None:
    text = CARD.format(id=f"test/{name}", step_seconds=0).replace('family = "blank"', 'family = "stable_diffusion"')
    text = (
        text.replace("step_seconds = 0\n", "")
        .replace("size = 64\n", "")
        .replace("sprite.text", "stable_diffusion.text")
    )
    text = text.replace("builtin:none", f"path:{weights}").replace("resident_bytes = 1", f"resident_bytes = {resident}")
    (folder / f"{name}.toml").write_text(text.replace('"none"', '"classifier_free"'))


def ready(server: Server) -> None:
    with server.http() as http:
        wait_for(lambda: http.get("/ready").status_code == 200 or None)


def test_a_model_too_large_for_the_device_is_refused_before_it_is_queued(servers: Start, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir(parents=True)
    weights_card(tmp_path / "cards", "huge", tmp_path / "nowhere", resident=10**15)
    server = servers()
    ready(server)
    with server.http() as http:
        for path in ("/queue/test/huge", "/test/huge", "/test/huge/stream"):
            answer = http.post(path, json={"prompt": "x"})
            assert answer.status_code == 500
            assert answer.json()["error_type"] == "model_too_large"
            for part in ("test/huge", "000000.0 GB", "memory_gb"):
                assert part in answer.json()["detail"]
        assert count(server) == 0
        assert http.post("/test/blank", json={"prompt": "x"}).status_code == 200
    assert server.stop() == 0


def test_without_what_runs_models_a_request_is_refused_and_not_left_waiting(servers: Start, tmp_path: Path) -> None:
    """As on a machine where `pip install laterna` was all: no torch for the server and its workers."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    found = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    server = servers(PYTHONPATH=found)
    with server.http() as http:
        answer = http.post("/queue/test/blank", json={"prompt": "x"})
        assert answer.status_code == 503
        assert answer.json()["error_type"] == "runner_scheduling_failure"
        assert "pip install 'laterna[models]'" in answer.json()["detail"]
        assert count(server) == 0
        assert http.get("/ready").json()["problem"] == answer.json()["detail"]
        assert http.get("/platform/v1/models").status_code == 200
    assert server.stop() == 0


def test_models_that_cannot_be_loaded_say_why_and_the_others_go_on(servers: Start, tmp_path: Path) -> None:
    import torch

    cards = tmp_path / "cards"
    cards.mkdir(parents=True)
    pickle, broken = tmp_path / "model.ckpt", tmp_path / "broken.safetensors"
    torch.save({"a": torch.zeros(1)}, pickle)
    save_file({"a": torch.zeros(1000)}, broken)
    broken.write_bytes(broken.read_bytes()[:500])
    weights_card(cards, "pickle", pickle)
    weights_card(cards, "broken", broken)
    weights_card(cards, "absent", tmp_path / "nowhere")
    server = servers()
    expected = {
        "pickle": ("unsafe_weights", "model.ckpt"),
        "broken": ("unreadable_weights", "broken.safetensors"),
        "absent": ("missing_weights", "nowhere"),
    }
    waiting = {name: server.submit(f"test/{name}") for name in expected}
    good = server.submit("test/blank")
    for name, (code, word) in expected.items():
        server.until(waiting[name], "COMPLETED", f"test/{name}")
        answer = server.result(waiting[name], f"test/{name}")
        assert answer.status_code == 500
        assert answer.json()["error_type"] == code
        assert word in json.dumps(answer.json())
    server.until(good, "COMPLETED", "test/blank")
    assert server.result(good, "test/blank").status_code == 200
    assert server.stop() == 0
