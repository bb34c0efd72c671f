"""What holds for every answer: ids, CORS, errors in fal's shape, limits, logs without secrets."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx2
import pytest
import structlog

from laterna import errors
from laterna.api.errors import DETAILED, STATUS, error_body
from laterna.errors import LaternaError
from tests.api.conftest import Api, picture, running

PATHS = [
    "/",
    "/health",
    "/ready",
    "/platform/v1/models",
    "/queue/test/blank",
    "/test/blank",
    "/nothing",
    "/cdn/files/x",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_every_answer_has_an_id_and_cors(api: Api, path: str, method: str) -> None:
    with api.http(origin="https://example.com") as http:
        answer = http.request(method, path)
    assert answer.status_code < 500
    assert answer.headers["x-fal-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = answer.headers["access-control-expose-headers"]
    assert {"x-fal-request-id", "x-fal-error-type", "x-fal-request-timeout-type"} <= set(exposed.split(", "))
    assert "access-control-allow-credentials" not in answer.headers
    assert "location" not in answer.headers
    if answer.status_code >= 400 and method != "HEAD":
        told = answer.json()
        assert told["error"]["message"] if path.startswith("/platform") else told["message"] and told["detail"]
    if not path.startswith("/cdn"):
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/queue/test/blank", "/test/blank/stream", "/api/fal/proxy", "/rest/tokens/"])
def test_preflights_allow_what_clients_send(api: Api, path: str) -> None:
    asked = "authorization, content-type, x-fal-queue-priority, x-fal-target-url, x-app-fal-disable-fallback, x-evil"
    with api.http(
        key=None, origin="https://a.example", access_control_request_method="POST", access_control_request_headers=asked
    ) as http:
        answer = http.options(path)
    assert answer.status_code == 204
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert allowed == asked.split(", ")[:-1]
    assert "PUT" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("key", [None, "nonsense", "a:b", "\u00e9".encode().decode("latin-1")])
@pytest.mark.parametrize("path", ["/test/blank", "/queue/test/blank", "/test/blank/stream"])
def test_without_a_good_key_nothing_is_done(api: Api, key: str | None, path: str) -> None:
    with api.http(key=None) as http:
        headers = [] if key is None else [(b"authorization", f"Key {key}".encode("latin-1"))]
        answer = http.post(path, json={"prompt": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["error_type"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Key"


def test_unknown_endpoints_suggest_near_ones(api: Api) -> None:
    with api.http() as http:
        for path in ("/queue/test/blunk", "/test/blunk", "/test/blunk/stream"):
            answer = http.post(path, json={"prompt": "x"})
            assert (answer.status_code, answer.json()["error_type"]) == (404, "endpoint_not_found")
            assert "test/blank" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[" * 100_000, 400), (b"NaN", 400), (b'{"prompt": "\\ud800"}', 400), (b"[]", 422), (b"", 422),
     (b'"x"', 422), (b'{"prompt": "' + b"x" * 100_000 + b'"}', 422), (b" " * 300_000 + b"{}", 413)],
)  # fmt: skip
def test_hostile_bodies(tmp_path: Path, body: bytes, status: int) -> None:
    with running(tmp_path / "data", body_mb=0.2) as api, api.http() as http:
        for path in ("/queue/test/blank", "/test/blank"):
            answer = http.post(path, content=body)
            assert answer.status_code == status
            assert len(answer.content) < 2000
        chunked = http.post("/queue/test/blank", content=iter([body[:150_000], body[150_000:]]))
        assert chunked.status_code == status
        assert http.post("/queue/test/blank", json={"prompt": "x"}).status_code == 200


def test_a_prompt_of_100_kb_names_the_limit(api: Api) -> None:
    with api.http() as http:
        answer = http.post("/queue/test/blank", json={"prompt": "x" * 100_000})
    detail = answer.json()["detail"][0]
    assert (answer.status_code, detail["loc"], detail["ctx"]) == (422, ["body", "prompt"], {"max_length": 4000})


def test_a_body_needs_no_content_type(api: Api) -> None:
    with api.http() as http:
        for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
            answer = http.post("/queue/test/blank", content=b'{"prompt": "x"}', headers={"content-type": kind})
            assert answer.status_code == 200


def test_foreign_hosts_are_refused_with_the_way_out(api: Api) -> None:
    with api.http(host="evil.example") as http:
        answer = http.get("/health")
    assert answer.status_code == 421
    assert "names" in answer.json()["detail"]
    with socket.create_connection(("localhost", api.port)) as raw:
        raw.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert raw.recv(100).split(b" ")[1] in (b"421", b"400")


def test_methods_that_are_not_for_an_address(api: Api) -> None:
    with api.http() as http:
        answer = http.delete("/queue/test/blank")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


def test_an_unexpected_error_says_nothing_of_the_inside(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret of the inside")

    monkeypatch.setattr(api.requests, "get", broken)
    merged = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(merged) as lines, api.http() as http:
        answer = http.get("/queue/test/blank/requests/x/status")
        for _ in range(200):  # the line follows the answer
            if len(lines) > 1:
                break
            time.sleep(0.01)
    assert (answer.status_code, answer.json()["error_type"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-fal-request-id"] in str(lines)


def test_no_secret_reaches_the_log(api: Api) -> None:
    with structlog.testing.capture_logs() as lines, api.http() as http:
        http.post("/test/blank?fal_jwt_token=HIDDEN1", json={}, headers={"authorization": "Key HIDDEN2"})
        said = http.post("/rest/storage/upload/initiate", json={"file_name": "a"}).json()
        httpx2.put(said["upload_url"], content=picture(), trust_env=False)
        httpx2.get(said["file_url"], trust_env=False)
        http.get("/health?token=HIDDEN3")
        while not any(line.get("path") == "/health" for line in lines):  # logged once its answer is on its way
            time.sleep(0.01)
    text = json.dumps(lines, default=str)
    assert "/health" in text
    assert "HIDDEN" not in text
    assert said["file_url"].split("/")[-2] not in text
    assert api.key.partition(":")[2] not in text


def test_every_error_has_a_status_and_a_body() -> None:
    kinds = [LaternaError]
    for kind in kinds:
        kinds += [
            other for other in kind.__subclasses__() if other.__module__ in ("laterna.errors", "laterna.api.errors")
        ]
    for kind in kinds:
        assert kind.code in STATUS, f"{kind.__name__} has no status"
        body = error_body(kind.code, "because")
        assert body["message"] == "because"
        assert isinstance(body["detail"], list) == (kind.code in DETAILED)
    assert error_body(errors.NotFinished.code, "x")["detail"] == "Request is still in progress"


def test_health_and_readiness(api: Api) -> None:
    with api.http(key=None) as http:
        assert http.get("/health/").json()["status"] == "ok"
        assert http.get("/ready").status_code == 200
        api.problem = "no worker is ready"
        assert (http.get("/ready").status_code, http.get("/health").status_code) == (503, 200)
        assert http.get("/ready").json()["problem"] == "no worker is ready"
        api.problem = None
