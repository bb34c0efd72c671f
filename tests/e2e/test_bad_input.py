"""Bad input gets a typed error in fal's shape, before anything is queued where that is possible; the rest goes on."""

from __future__ import annotations

import json
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
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x" * 100_000}, "prompt"),
        ({"prompt": "x", "num_inference_steps": 0}, "num_inference_steps"),
        ({"prompt": "x", "num_inference_steps": "many"}, "num_inference_steps"),
        ({"prompt": "x", "num_images": 10**9}, "num_images"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "output_format": "exe"}, "output_format"),
        ({"prompt": "x", "image_size": {"width": 10**6, "height": 64}}, "image_size"),
        ({"prompt": "x", "image_size": "gigantic"}, "image_size"),
    ],
)
@pytest.mark.parametrize("path", ["/queue/laterna/sprite", "/laterna/sprite", "/laterna/sprite/stream"])
def test_a_wrong_field_is_named_and_nothing_is_queued(
    server: Server, http: httpx2.Client, path: str, body: dict[str, Any], field: str
) -> None:
    before = count(server)
    answer = http.post(path, json=body)
    assert answer.status_code == 422
    problem = answer.json()["detail"][0]
    assert problem["loc"][:2] == ["body", field]
    assert problem["msg"]
    assert problem["type"]
    assert len(answer.content) < 4000
    assert count(server) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[1]", 422), (b'"x"', 422), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b"", 422)],
)
def test_what_is_no_object_is_refused(http: httpx2.Client, content: bytes, status: int) -> None:
    answer = http.post("/queue/test/blank", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (status, 400, 422)
    assert answer.json()["detail"]


def test_an_oversize_body_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/queue/test/blank", content=b'{"prompt": "' + b"x" * 11_000_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "payload_too_large"


def test_an_unknown_endpoint_suggests_near_ones(http: httpx2.Client) -> None:
    answer = http.post("/queue/laterna/sprit", json={"prompt": "x"})
    assert answer.status_code == 404
    assert "laterna/sprite" in answer.json()["detail"]


@pytest.mark.parametrize("key", ["", "Key wrong", "Key a:b", "Bearer x.y.z", "Basic eDp5"])
def test_a_wrong_key_is_refused(server: Server, key: str) -> None:
    with server.http() as http:
        answer = http.post("/queue/test/blank", json={"prompt": "x"}, headers={"Authorization": key})
    assert answer.status_code == 401
    assert answer.json()["message"]


def test_an_unknown_host_is_refused(http: httpx2.Client) -> None:
    assert http.get("/health", headers={"Host": "evil.example"}).status_code in (400, 421)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "http://localhost:1/", "ftp://x.y/z"])
def test_a_webhook_may_not_lead_inside(server: Server, http: httpx2.Client, url: str) -> None:
    """Refused at once where the address shows it, else never delivered."""
    answer = http.post("/queue/test/blank", params={"fal_webhook": url}, json={"prompt": "x"})
    if answer.status_code == 200:
        server.until(answer.json()["request_id"], "COMPLETED", "test/blank")
        wait_for(lambda: "refused" in str(outbox(server, answer.json()["request_id"])) or None, 20)
    else:
        assert answer.status_code == 422


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
    weights_card(cards, "huge", broken, resident=10**15)
    server = servers()
    expected = {
        "pickle": ("unsafe_weights", "model.ckpt"),
        "broken": ("unreadable_weights", "broken.safetensors"),
        "absent": ("missing_weights", "nowhere"),
        "huge": ("model_too_large", "memory_gb"),
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
