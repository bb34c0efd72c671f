"""A LoRA from a client's disk to its picture: uploaded and named by fal's unmodified Python client."""

from __future__ import annotations

from pathlib import Path

import torch

from laterna.families import load_family
from laterna.families.flux.family import Flux
from tests.e2e.conftest import Server
from tests.e2e.test_fal_python import execute
from tests.lora.making import make, peft, write
from tests.worker.test_adapters import SPRITE


def test_an_uploaded_lora_changes_the_picture_and_its_digest_is_told(server: Server, tmp_path: Path) -> None:
    family = load_family(SPRITE, torch.device("cpu"))
    assert isinstance(family, Flux)
    file = write(
        tmp_path / "mine.safetensors", peft(make({"transformer": family._network.transformer}, 1, only="attn"))
    )
    script = f"""
        url = fal_client.upload_file({str(file)!r})
        given = {{"prompt": "a red fox", "seed": 7, "num_inference_steps": 2, "sync_mode": True}}
        plain = fal_client.run("laterna/sprite", given)
        handle = fal_client.submit("laterna/sprite", {{**given, "loras": [{{"path": url, "scale": 0.7}}]}})
        worn = handle.get()
        logs = [line["message"] for line in fal_client.status("laterna/sprite", handle.request_id, with_logs=True).logs]
        print(json.dumps([plain["images"][0]["url"], worn["images"][0]["url"], url, logs]))
    """
    plain, worn, url, logs = execute(server, script, tmp_path)
    assert url.endswith("/mine.safetensors")
    assert plain != worn
    assert any("sha256:" in line and "0.7" in line for line in logs)


def test_a_path_of_the_servers_disk_is_refused(server: Server) -> None:
    with server.http() as http:
        answer = http.post("/laterna/sprite", json={"prompt": "x", "loras": [{"path": "/etc/passwd"}]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "loras", 0, "path"]
