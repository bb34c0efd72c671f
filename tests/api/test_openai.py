"""OpenAI's dialect: its shapes in and out, its errors with the field's name, the same queue behind it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from laterna.contracts.generation import TextToImage
from laterna.requests.requests import Leased
from tests.api.conftest import Api

GENERATIONS = "/openai/v1/images/generations"
SERVED = ("/openai/v1/models", GENERATIONS)


def client(api: Api, key: str = "", **headers: str) -> httpx2.Client:
    return api.http(key=None, authorization=f"Bearer {key or api.key}", **headers)


def generate(api: Api, **body: Any) -> tuple[httpx2.Response, Leased, list[bytes]]:
    """Post it, do the work; the answer, what was leased and the pictures' bytes."""
    with client(api) as http:
        answer = api.beside(lambda: http.post(GENERATIONS, json={"model": "test/blank", "prompt": "a fox", **body}))
        leased = api.take()
        made = api.finish(leased)
        return answer.result(10), leased, made


def refused(api: Api, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """The status and the error of a request that must not reach the queue."""
    before = api.call(api.requests.page("default", limit=1)).items
    with client(api, **headers) as http:
        answer = http.post(GENERATIONS, json=body)
    assert api.call(api.requests.page("default", limit=1)).items == before
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return answer.status_code, error


def asked(leased: Leased) -> TextToImage:
    assert isinstance(leased.generation, TextToImage)
    return leased.generation


def test_images_come_as_base64_unless_urls_are_asked_for(api: Api) -> None:
    started = int(time.time())
    answer, leased, made = generate(api, n=2, seed=7)
    body = answer.json()
    assert answer.status_code == 200
    assert [base64.b64decode(item["b64_json"]) for item in body["data"]] == made
    assert started <= body["created"] <= time.time()
    assert (body["output_format"], body["size"], body["seed"]) == ("png", "64x64", 7)
    assert answer.headers["x-request-id"] == leased.lease.request_id
    answer, _, made = generate(api, n=2, response_format="url")
    with api.http(key=None) as http:
        assert [http.get(item["url"]).content for item in answer.json()["data"]] == made
    assert all(set(item) == {"url"} for item in answer.json()["data"])


def test_images_that_are_not_kept_are_handed_over_all_the_same(api: Api) -> None:
    answer, leased, made = generate(api, sync_mode=True)
    assert asked(leased).inline
    assert [base64.b64decode(item["b64_json"]) for item in answer.json()["data"]] == made


def test_every_field_reaches_the_endpoint(api: Api) -> None:
    _, leased, _ = generate(
        api, n=3, size="64x64", output_format="webp", seed=5, num_inference_steps=9, negative_prompt="rain",
    )  # fmt: skip
    job = asked(leased)
    assert (job.prompt, job.count, job.width, job.height) == ("a fox", 3, 64, 64)
    assert (job.image_format, job.seed, job.steps, job.negative_prompt) == ("webp", 5, 9, "rain")
    view = api.call(api.requests.get("default", leased.lease.request_id))
    assert (view.dialect, view.endpoint) == ("openai", "test/blank")


def test_what_is_left_out_null_or_auto_is_the_endpoints_own(api: Api) -> None:
    plain = asked(generate(api, seed=1)[1])
    nulls = dict.fromkeys(("n", "size", "output_format", "response_format", "stream", "background", "user"))
    same = ({**nulls}, {"size": "auto", "stream": False}, {"quality": "hd", "style": "vivid", "moderation": "low"})
    for body in same:
        assert asked(generate(api, seed=1, **body)[1]) == plain


def test_an_endpoint_is_named_as_a_model_by_its_whole_id(api: Api) -> None:
    _, leased, _ = generate(api, model="test/blank/deep/down")
    view = api.call(api.requests.get("default", leased.lease.request_id))
    assert view.endpoint == "test/blank/deep/down"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": "many"}, "n"),
        ({"n": 10**30}, "n"),
        ({"num_images": 10**6}, "num_images"),
        ({"size": "huge"}, "size"),
        ({"size": "1024"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "٦٤x٦٤"}, "size"),
        ({"size": "128x64"}, "size"),
        ({"size": 64}, "size"),
        ({"size": ["64x64"]}, "size"),
        ({"image_size": "huge"}, "image_size"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": {"a": 1}}, "output_format"),
        ({"response_format": "file"}, "response_format"),
        ({"response_format": ["url"]}, "response_format"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "partial_images": 4}, "partial_images"),
        ({"stream": True, "partial_images": True}, "partial_images"),
        ({"stream": True, "partial_images": "2"}, "partial_images"),
        ({"stream": True, "response_format": "url"}, "response_format"),
        ({"stream": True, "prompt": 7}, "prompt"),
        ({"model": None}, "model"),
        ({"model": ["test/blank"]}, "model"),
        ({"seed": -1}, "seed"),
        ({"num_inference_steps": 1000}, "num_inference_steps"),
    ],
)
def test_a_wrong_field_is_named_as_its_sender_named_it(api: Api, body: dict[str, Any], param: str) -> None:
    status, error = refused(api, {"model": "test/blank", "prompt": "a fox", **body})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"].startswith(param)


def test_every_wrong_field_is_told_of(api: Api) -> None:
    _, error = refused(api, {"model": "test/blank", "n": 0, "seed": "x"})
    for name in ("n", "seed", "prompt"):
        assert f"{name}: " in error["message"]
    _, error = refused(api, {"model": "test/blank", "prompt": "a"}, x_fal_queue_priority="urgent")
    assert error["param"] == "x-fal-queue-priority"


def test_an_unknown_model_suggests_near_ones(api: Api) -> None:
    for model in ("test/blan", "gpt-image-2", "a" * 10_000):
        status, error = refused(api, {"model": model, "prompt": "a"})
        assert (status, error["param"], error["code"]) == (404, "model", "model_not_found")
    assert "test/blank" in refused(api, {"model": "test/blan", "prompt": "a"})[1]["message"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"x"', b"\xff", b"[" * 100_000, b"", b'{"model": "\\ud800/x"}'])
def test_what_is_no_request_is_refused_in_openais_shape(api: Api, content: bytes) -> None:
    with client(api) as http:
        answer = http.post(GENERATIONS, content=content)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_key_is_needed_and_read_as_a_bearers(api: Api) -> None:
    secret = api.key.partition(":")[2]
    for path in SERVED:
        for header in ({}, {"authorization": "Bearer no:such"}, {"authorization": f"Bearer wrong:{secret}"}):
            with api.http(key=None, **header) as http:
                answer = http.request("GET" if "models" in path else "POST", path, json={"model": "test/blank"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    with client(api, secret) as http:
        assert http.get("/openai/v1/models").status_code == 200


def test_a_failed_request_is_its_error_and_not_worth_another_try(api: Api) -> None:
    with client(api) as http:
        answer = api.beside(lambda: http.post(GENERATIONS, json={"model": "test/blank", "prompt": "a"}))
        leased = api.take()
        api.fail(leased, "sample_failed", "not today")
        got = answer.result(10)
    assert (got.status_code, got.headers["x-should-retry"]) == (500, "false")
    assert got.headers["x-request-id"] == leased.lease.request_id
    assert got.json()["error"] == {
        "message": "not today", "type": "server_error", "param": None, "code": "sample_failed",
    }  # fmt: skip


def test_a_full_queue_is_a_rate_limit(api: Api) -> None:
    api.submit()
    with client(api) as http:
        answer = http.post(f"{GENERATIONS}?fal_max_queue_length=1", json={"model": "test/blank", "prompt": "a"})
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert "x-should-retry" not in answer.headers


def test_a_client_who_goes_has_the_work_stopped(api: Api) -> None:
    with client(api) as http:
        body = {"model": "test/blank", "prompt": "a"}
        answer = api.beside(lambda: http.post(GENERATIONS, json=body, timeout=0.3))
        leased = api.take()
        api.begin(leased)
        assert answer.exception(10) is not None
    for _ in range(500):
        if leased.lease in api.cancelled:
            break
        time.sleep(0.01)
    assert leased.lease in api.cancelled
    api.fail(leased, "client_cancelled")


def test_models_are_listed_and_found(api: Api) -> None:
    with client(api) as http:
        body = http.get("/openai/v1/models").json()
        found = {model["id"]: model for model in body["data"]}
        assert body["object"] == "list"
        assert {"test/blank", "test/blank/deep/down", "laterna/sprite"} <= set(found)
        one = {"id": "test/blank/deep/down", "object": "model", "created": 0, "owned_by": "test"}
        assert found["test/blank/deep/down"] == one
        for path in ("test/blank/deep/down", "test%2Fblank%2Fdeep%2Fdown"):
            assert http.get(f"/openai/v1/models/{path}").json() == one
        unknown = http.get("/openai/v1/models/test/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/openai/v1/images"),
        ("POST", "/openai/v1/chat/completions"),
        ("GET", GENERATIONS),
        ("DELETE", "/openai/v1/models/test/blank"),
        ("GET", "/openai"),
        ("POST", "/openai/"),
        ("POST", "/openai/v1"),
    ],
)
def test_what_is_not_served_says_what_is(api: Api, method: str, path: str) -> None:
    with client(api) as http:
        answer = http.request(method, path)
    assert answer.status_code == 404
    assert GENERATIONS in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"] == answer.headers["x-fal-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "images/edits", "edits images"),
        ("POST", "images/variations", "variations"),
        ("POST", "audio/speech", "speaks"),
        ("POST", "videos", "makes videos"),
        ("GET", "videos/video_1/content", "makes videos"),
    ],
)
def test_what_no_model_does_yet_is_said_by_name(api: Api, method: str, path: str, what: str) -> None:
    with client(api) as http:
        answer = http.request(method, f"/openai/v1/{path}", files={"image": b"x"} if method == "POST" else None)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")
    assert what in answer.json()["error"]["message"]
    assert GENERATIONS in answer.json()["error"]["message"]


def streamed(text: str) -> list[dict[str, Any]]:
    """The events of a stream, whose names are the types that they carry."""
    found = []
    for block in filter(None, text.split("\n\n")):
        name, data = (line.split(": ", 1)[1] for line in block.splitlines())
        found.append(json.loads(data))
        assert found[-1].get("type", "error") == name
    return found


def test_a_stream_has_partial_images_spread_over_the_steps_and_the_images_last(api: Api) -> None:
    body = {"model": "test/blank", "prompt": "a fox", "stream": True, "partial_images": 2, "n": 2}
    with client(api) as http:
        answer = api.beside(lambda: http.post(GENERATIONS, json=body))
        leased = api.take()
        assert asked(leased).previews
        api.begin(leased)
        watched(api, leased)
        for step in (1, 6, 7, 8, 13, 14, 20):
            api.progress(leased, step, preview=f"step {step}".encode())
        made = api.finish(leased)
        answered = answer.result(10)
    assert answered.headers["content-type"] == "text/event-stream"
    assert answered.headers["x-request-id"] == leased.lease.request_id
    *partials, first, second = streamed(answered.text)
    assert [base64.b64decode(event["b64_json"]) for event in partials] == [b"step 7", b"step 14"]
    assert [event["partial_image_index"] for event in partials] == [0, 1]
    assert {event["type"] for event in partials} == {"image_generation.partial_image"}
    assert [base64.b64decode(event["b64_json"]) for event in (first, second)] == made
    assert {first["type"], second["type"]} == {"image_generation.completed"}
    assert (first["size"], first["output_format"]) == ("64x64", "png")


def test_a_stream_without_partial_images_asks_for_no_previews(api: Api) -> None:
    with client(api) as http:
        body = {"model": "test/blank", "prompt": "a fox", "stream": True, "sync_mode": True}
        answer = api.beside(lambda: http.post(GENERATIONS, json=body))
        leased = api.take()
        assert not asked(leased).previews
        api.begin(leased)
        watched(api, leased)
        api.progress(leased, 10, preview=b"somebody else's")
        made = api.finish(leased)
        (only,) = streamed(answer.result(10).text)
    assert base64.b64decode(only["b64_json"]) == made[0]


def test_a_stream_ends_with_the_error(api: Api) -> None:
    with client(api) as http:
        answer = api.beside(lambda: http.post(GENERATIONS, json={"model": "test/blank", "prompt": "a", "stream": True}))
        api.fail(api.take(), "sample_failed", "too large")
        (only,) = streamed(answer.result(10).text)
    assert only["error"] == {"message": "too large", "type": "server_error", "param": None, "code": "sample_failed"}


def test_a_reader_who_goes_has_the_work_stopped(api: Api) -> None:
    with client(api) as http:
        body = {"model": "test/blank", "prompt": "a", "stream": True}
        with http.stream("POST", GENERATIONS, json=body):
            leased = api.take()
            api.begin(leased)
    until(lambda: leased.lease in api.cancelled)
    api.fail(leased, "client_cancelled")


def watched(api: Api, leased: Leased) -> None:
    """Wait until somebody follows it."""
    until(lambda: api.board.watched(leased.lease.request_id))


def until(probe: Callable[[], bool]) -> None:
    for _ in range(1000):
        if probe():
            return
        time.sleep(0.01)
    raise AssertionError("not within ten seconds")


def test_a_foreign_host_and_a_wrong_method_are_told_in_openais_shape(api: Api) -> None:
    with client(api, host="evil.example") as http:
        answer = http.get("/openai/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "misdirected_request")
    with client(api) as http:
        answer = http.request("TRACE", "/openai/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_the_surface_is_the_same_on_every_host_and_others_keep_fals_shape(api: Api) -> None:
    with client(api, host="queue.localhost") as http:
        assert http.get("/openai/v1/models").status_code == 200
        assert "detail" in http.post("/openai-like/model", json={"prompt": "a"}).json()


def test_a_pages_client_may_send_its_headers(api: Api) -> None:
    wanted = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,openai-organization"
    asking = {"origin": "http://a.page", "access_control_request_method": "POST"}
    with api.http(key=None, **asking, access_control_request_headers=wanted) as http:
        answer = http.options(GENERATIONS)
    assert answer.headers["access-control-allow-headers"].replace(" ", "") == wanted
