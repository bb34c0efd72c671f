"""Sync run and stream: one HTTP request, the same queue behind it."""

from __future__ import annotations

import json
import time

import pytest

from laterna.errors import LaternaError, ModelTooLarge, NoRunner
from laterna.tenants.keys import DEFAULT_TENANT
from tests.api.conftest import Api, picture
from tests.api.test_fal import events_of

PATHS = ("/test/blank", "/queue/test/blank", "/test/blank/stream")


def until(api: Api, request_id: str, state: str) -> None:
    for _ in range(500):
        if api.state(request_id) == state:
            return
        time.sleep(0.01)
    raise AssertionError(api.state(request_id))


@pytest.mark.parametrize("path", ["/test/blank", "/test/blank/", "/test/blank/deep/down"])
def test_run_answers_with_the_output(api: Api, path: str) -> None:
    with api.http() as http:
        answer = api.beside(lambda: http.post(path, json={"prompt": "a fox", "seed": 9}))
        leased = api.take()
        api.finish(leased)
        got = answer.result(10)
    assert (got.status_code, got.json()["seed"]) == (200, 9)
    assert got.headers["x-fal-request-id"] == leased.lease.request_id


def test_a_failed_run_is_its_error(api: Api) -> None:
    with api.http() as http:
        answer = api.beside(lambda: http.post("/test/blank", json={"prompt": "a fox"}))
        api.fail(api.take(), "sample_failed", "not today")
        got = answer.result(10)
    assert (got.status_code, got.json()["detail"], got.json()["error_type"]) == (500, "not today", "sample_failed")


def test_wrong_input_is_refused_before_anything_is_queued(api: Api) -> None:
    with api.http() as http:
        for path in PATHS:
            answer = http.post(path, json={"prompt": "x", "num_inference_steps": 51, "seed": "x"})
            assert answer.status_code == 422
            assert [item["loc"] for item in answer.json()["detail"]] == [
                ["body", "num_inference_steps"],
                ["body", "seed"],
            ]
            assert answer.json()["detail"][0]["ctx"] == {"le": 50}
            assert answer.json()["detail"][0]["input"] == 51


@pytest.mark.parametrize(("error", "status"), [(NoRunner("no torch"), 503), (ModelTooLarge("too large"), 500)])
@pytest.mark.parametrize("path", [*PATHS, "/openai/v1/images/generations"])
def test_what_can_never_run_here_is_refused_before_anything_is_queued(
    api: Api, path: str, error: LaternaError, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.refusals, "test/blank", error)
    before = api.call(api.requests.page(DEFAULT_TENANT)).items
    with api.http() as http:
        answer = http.post(path, json={"prompt": "a fox", "model": "test/blank"})
    assert answer.status_code == status
    body = answer.json().get("error", answer.json())
    assert (body["message"], body.get("error_type") or body["code"]) == (error.message, error.code)
    assert api.call(api.requests.page(DEFAULT_TENANT)).items == before


def test_a_client_who_goes_has_the_work_stopped(api: Api) -> None:
    with api.http() as http:
        answer = api.beside(lambda: http.post("/test/blank", json={"prompt": "a"}, timeout=0.3))
        leased = api.take()
        api.begin(leased)
        assert answer.exception(10) is not None
    for _ in range(500):
        if leased.lease in api.cancelled:
            break
        time.sleep(0.01)
    assert leased.lease in api.cancelled
    api.fail(leased, "client_cancelled")
    assert api.state(leased.lease.request_id) == "cancelled"


def test_a_client_who_goes_while_it_waits_frees_its_place(api: Api) -> None:
    with api.http() as http, pytest.raises(Exception, match="timed out"):
        http.post("/test/blank", json={"prompt": "a", "seed": 424242}, timeout=0.3)
    page = api.call(api.requests.page("default", limit=1))
    until(api, page.items[0].request_id, "cancelled")


def test_a_stream_shows_previews_and_ends_with_the_output(api: Api) -> None:
    with api.http() as http, http.stream("POST", "/test/blank/stream", json={"prompt": "a", "seed": 4}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        leased = api.take()
        assert leased.generation.previews
        assert answer.headers["x-fal-request-id"] == leased.lease.request_id
        api.begin(leased)
        api.progress(leased, 1)
        api.progress(leased, 2, picture(kind="JPEG"))
        api.finish(leased)
        events = events_of("\n".join(answer.iter_lines()))
    assert len(events) == 2
    assert events[0]["images"][0]["url"].startswith("data:image/jpeg;base64,")
    assert events[0]["progress"]["step"] == 2
    assert (events[-1]["seed"], events[-1]["prompt"]) == (4, "a")
    assert events[-1]["images"][0]["url"].startswith(api.url)


def test_a_stream_that_fails_ends_with_the_error(api: Api) -> None:
    with api.http() as http, http.stream("POST", "/test/blank/stream", json={"prompt": "a"}) as answer:
        api.fail(api.take(), "sample_failed", "not today")
        events = events_of("\n".join(answer.iter_lines()))
    assert [(event["error_type"], event["message"]) for event in events] == [("sample_failed", "not today")]


def test_a_reader_who_leaves_a_stream_has_the_work_stopped(api: Api) -> None:
    with api.http() as http, http.stream("POST", "/test/blank/stream", json={"prompt": "a"}):
        leased = api.take()
        api.begin(leased)
    for _ in range(500):
        if leased.lease in api.cancelled:
            break
        time.sleep(0.01)
    assert leased.lease in api.cancelled
    api.fail(leased, "client_cancelled")


def test_a_browsers_token_opens_the_apps_it_names(api: Api) -> None:
    with api.http() as http:
        made = http.post("/rest/tokens/", json={"allowed_apps": ["blank"], "token_expiration": 60})
        assert made.status_code == 200
        token = made.json()
        assert isinstance(token, str)
        other = http.post("/rest/tokens", json={"allowed_apps": ["other"]}).json()
        assert http.post("/rest/tokens", json={"allowed_apps": []}).status_code == 422
        assert http.post("/rest/tokens", json={"allowed_apps": ["x"], "token_expiration": 1e9}).status_code == 422
    with api.http(key=None) as http:
        path = f"/test/blank/stream?fal_jwt_token={token}"
        with http.stream("POST", path, json={"prompt": "a"}) as answer:
            assert answer.status_code == 200
            api.finish(api.take(answer.headers["x-fal-request-id"]))
            assert events_of("\n".join(answer.iter_lines()))[-1]["prompt"] == "a"
        assert http.post(f"/test/blank?fal_jwt_token={other}", json={"prompt": "a"}).status_code == 403
        assert http.post("/test/blank?fal_jwt_token=nonsense", json={"prompt": "a"}).status_code == 401
        assert http.post(f"/rest/tokens?fal_jwt_token={token}", json={"allowed_apps": ["x"]}).status_code == 401


def test_run_through_the_proxy_endpoint(api: Api) -> None:
    headers = {"x_fal_target_url": "https://fal.run/test/blank"}
    with api.http(**headers) as http:
        answer = api.beside(lambda: http.post("/api/fal/proxy", json={"prompt": "a fox", "seed": 9}))
        api.finish(api.take())
        assert answer.result(10).json()["seed"] == 9
    with api.http(x_fal_target_url="https://queue.fal.run/test/blank?fal_max_queue_length=9000") as http:
        body = http.post("/api/fal/proxy/", json={"prompt": "a"}).json()
    assert body["status_url"].startswith(f"{api.url}/queue/test/blank/requests/")
    with api.http(key=None, x_fal_target_url="https://fal.run/test/blank") as http:
        assert http.post("/api/fal/proxy", json={"prompt": "a"}).status_code == 401
    with api.http(x_fal_target_url="https://evil.example/test/blank") as http:
        refused = http.post("/api/fal/proxy", json={"prompt": "a"})
    assert refused.status_code == 400
    assert "evil.example" in json.dumps(refused.json())
