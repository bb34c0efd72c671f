"""URLs of this server's files in an input become keys, whichever of its names they were given out under."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api
from tests.api.test_files import upload


def asked(api: Api, path: str) -> str:
    """The key that the worker is told."""
    (lora,) = api.take(api.submit("laterna/sprite", loras=[{"path": path, "scale": 0.5}])).generation.loras
    assert (lora.path, lora.scale, lora.digest) == (path, 0.5, "")
    return lora.file


def test_a_file_of_ours(api: Api) -> None:
    url = upload(api, b"weights", "a.safetensors")
    key = url.split("/")[-2]
    assert asked(api, url) == key
    for base in ("https://v3.fal.media", "https://localhost:8443/cdn", "http://elsewhere:1/a/b"):
        assert asked(api, f"{base}/files/{key}/a.safetensors?x=1") == key
    assert asked(api, f"{api.url}/cdn/files/{key}") == key


@pytest.mark.parametrize(
    "path",
    [
        "https://v3.fal.media/files/aulmg4e54kklhr6siwqhu2vmyyfsib33/a.safetensors",
        "https://example.com/files/short/a.safetensors",
        "owner/name",
        "laterna/pixel",
        "https://[::1/files/a",
    ],
)
def test_what_is_not_ours_stays_a_path(api: Api, path: str) -> None:
    assert asked(api, path) == ""


def test_a_failure_names_the_field(api: Api) -> None:
    leased = api.take(api.submit("laterna/sprite", loras=[{"path": "laterna/none"}]))
    api.fail(leased, "missing_adapter", "loras[0].path: this server has no adapter 'laterna/none'")
    with api.http() as http:
        answer = http.get(f"/queue/laterna/sprite/requests/{leased.lease.request_id}")
    assert answer.status_code == 422
    (detail,) = answer.json()["detail"]
    assert detail["type"] == "missing_adapter"
    assert "loras[0].path" in detail["msg"]
