"""Tenants over HTTP, where one stands, and how each dialect tells its clients to wait."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx2
import pytest

from laterna.tenants.keys import DEFAULT_TENANT
from laterna.tenants.limits import Limits
from tests.api.conftest import Api, picture, running

TENANTS = "/platform/v1/tenants"
LIMITS = "/platform/v1/limits"
PROMPT = {"prompt": "a fox"}


def client(api: Api, name: str, weight: int = 1, **limits: int) -> str:
    """The key of a new tenant."""

    async def work() -> str:
        tenant = await api.tenants.create(name, weight, Limits(**limits))
        return (await api.keys.create(tenant.id, "its")).text

    return api.call(work())


def test_tenants_are_made_listed_and_limited(api: Api) -> None:
    with api.http() as http:
        made = http.post(TENANTS, json={"name": "studio", "weight": 3, "concurrency": 2})
        assert made.status_code == 201
        assert (made.json()["weight"], made.json()["limits"]["concurrency"]) == (3, 2)
        assert http.post(TENANTS, json={"name": "studio"}).status_code == 400
        changed = http.patch(f"{TENANTS}/studio", json={"concurrency": None, "rate_per_minute": 60})
        assert changed.json()["limits"] == {
            "concurrency": None,
            "queue_length": None,
            "rate_per_minute": 60,
            "storage_bytes": None,
        }
        assert changed.json()["weight"] == 3
        listed = {one["name"]: one for one in http.get(TENANTS).json()["tenants"]}
        assert listed["studio"] == changed.json()
        assert DEFAULT_TENANT in listed
        for body in ({"concurrency": -1}, {"weight": 0}, {"rate_per_minute": "5"}, {"speed": 1}):
            assert http.patch(f"{TENANTS}/studio", json=body).status_code == 400
        assert http.patch(f"{TENANTS}/nobody", json={}).status_code == 404


def test_where_one_stands(tmp_path: Path) -> None:
    with running(tmp_path / "data") as api:
        heavy, light = client(api, "heavy", 3), client(api, "light", 1, queue_length=9)
        with api.http(key=light) as http:
            alone = http.get(LIMITS).json()
            assert (alone["share"], alone["queue"]["place"]) == ({"weight": 1, "fraction": 1.0}, None)
            sent = [http.post("/queue/test/blank", json=PROMPT).json()["request_id"] for _ in range(2)]
            found = http.get(LIMITS).json()
            assert (found["share"]["fraction"], found["queue"]) == (1.0, {"place": 1, "tenants": 1})
            with api.http(key=heavy) as other:
                assert other.post("/queue/test/blank", json=PROMPT).status_code == 200
            api.take(sent[0])
            found = http.get(LIMITS).json()
            assert found["share"] == {"weight": 1, "fraction": 0.25}
            assert found["queue"]["tenants"] == 2
            assert found["use"] == {"concurrency": 1, "queue_length": 1, "rate_per_minute": 2, "storage_bytes": 0}
            assert found["limits"]["queue_length"] == 9
            mine = found
        with api.http() as http:
            assert http.get(LIMITS, params={"tenant_id": "light"}).json() == mine
            assert http.get(LIMITS).json()["tenant"] == DEFAULT_TENANT


def test_fals_queue_takes_what_may_not_run_yet_and_a_direct_call_is_told_to_come_back(api: Api) -> None:
    key = client(api, "two", concurrency=1)
    with api.http(key=key) as http:
        first = http.post("/queue/test/blank", json=PROMPT)
        assert first.status_code == 200
        for path in ("/test/blank", "/test/blank/stream"):
            refused = http.post(path, json=PROMPT)
            assert refused.status_code == 429
            assert refused.json()["error_type"] == "concurrent_requests_limit"
            assert refused.headers["x-fal-error-type"] == "concurrent_requests_limit"
        assert http.post("/queue/test/blank", json=PROMPT).status_code == 200
        body: dict[str, Any] = {"model": "test/blank", "prompt": "a fox"}
        refused = http.post("/openai/v1/images/generations", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(refused.headers["retry-after"]) >= 1
        body = {"version": "test/blank", "input": PROMPT}
        assert http.post("/replicate/v1/predictions", json=body).status_code == 201


def test_a_direct_call_that_may_run_is_served(api: Api) -> None:
    key = client(api, "one", concurrency=1)
    with api.http(key=key) as http:
        asked: Future[httpx2.Response] = api.beside(lambda: http.post("/test/blank", json=PROMPT))
        api.finish(api.take())
        assert asked.result().status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/queue/test/blank", PROMPT),
        ("/test/blank", PROMPT),
        ("/openai/v1/images/generations", {"model": "test/blank", "prompt": "a fox"}),
        ("/replicate/v1/predictions", {"version": "test/blank", "input": PROMPT}),
    ],
)
def test_every_dialect_says_when_to_come_back(api: Api, path: str, body: dict[str, Any]) -> None:
    key = client(api, f"slow{path.replace('/', '.')}", rate=1)
    with api.http(key=key) as http:
        assert http.post("/queue/test/blank", json=PROMPT).status_code == 200
        refused = http.post(path, json=body)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_full_queue_is_429_and_nobody_elses(api: Api) -> None:
    key = client(api, "short", queue_length=1)
    with api.http(key=key) as http:
        assert http.post("/queue/test/blank", json=PROMPT).status_code == 200
        refused = http.post("/queue/test/blank", json=PROMPT)
        assert (refused.status_code, refused.json()["error_type"]) == (429, "queue_full")
    api.submit()


def test_a_full_storage_takes_no_upload_by_any_way_and_keeps_no_bytes(api: Api) -> None:
    key = client(api, "hoarder", storage_bytes=1000)
    before = {path for path in api.settings.media.rglob("*") if path.is_file()}
    with api.http(key=key) as http:
        refused = http.post("/cdn/files/upload", content=b"x" * 1001)
        assert (refused.status_code, refused.json()["error_type"]) == (403, "storage_limit")
        form = {"content": ("x.bin", b"x" * 1001)}
        assert http.post("/replicate/v1/files", files=form).status_code == 403
        asked = http.post("/rest/storage/upload/initiate", json={"file_name": "x"}).json()
        assert http.put(asked["upload_url"], content=b"x" * 1001).status_code == 403
        asked = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "x"}).json()
        assert http.put(f"{asked['upload_url']}/1", content=b"x" * 600).status_code == 200
        assert http.put(f"{asked['upload_url']}/2", content=b"x" * 600).status_code == 403
        assert {path for path in api.settings.media.rglob("*") if path.is_file()} == before
        assert http.post("/cdn/files/upload", content=picture()).status_code == 200
        assert http.get(LIMITS).json()["use"]["storage_bytes"] == len(picture())
