"""fal's queue on the wire: codes, keys, addresses, slashes and errors that its clients depend on."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from tests.api.conftest import Api, picture

UNKNOWN = "0190a6a0-0000-7000-8000-000000000000"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_submit_answers_with_all_that_clients_follow(api: Api) -> None:
    with api.http() as http:
        answer = http.post("/queue/test/blank/deep/down", json={"prompt": "a fox", "num_images": 2})
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "IN_QUEUE"
    assert UUID.fullmatch(body["request_id"])
    assert answer.headers["x-fal-request-id"] == body["request_id"]
    assert body["gateway_request_id"]
    assert body["queue_position"] >= 0
    one = f"{api.url}/queue/test/blank/requests/{body['request_id']}"
    assert (body["response_url"], body["status_url"], body["cancel_url"]) == (one, f"{one}/status", f"{one}/cancel")
    assert body["price"] == {"amount": 0.002, "currency": "USD"}
    assert body["eta_seconds"] == 1.25
    assert body["eta_interval_seconds"] == [1.0, 2.0]


def test_the_life_of_a_request(api: Api) -> None:
    request = api.submit(seed=3)
    one = f"/queue/test/blank/requests/{request}"
    with api.http() as http:
        waiting = http.get(f"{one}/status")
        assert waiting.status_code == 202
        assert waiting.json()["status"] == "IN_QUEUE"
        assert isinstance(waiting.json()["queue_position"], int)
        assert waiting.json()["logs"] is None
        early = http.get(one)
        assert (early.status_code, early.json()["detail"]) == (400, "Request is still in progress")

        leased = api.take(request)
        assert http.get(f"{one}/status").json()["status"] == "IN_QUEUE"
        api.begin(leased)
        api.note(leased, "half way")
        api.progress(leased, 3)
        at_work = http.get(f"{one}/status?logs=1")
        assert (at_work.status_code, at_work.json()["status"]) == (202, "IN_PROGRESS")
        told = {"stage": "denoise", "step": 3, "steps": 20, "batch": 1, "remaining_s": 0.5}
        assert at_work.json()["progress"] == told
        line = at_work.json()["logs"][-1]
        assert (line["message"], line["level"], line["source"]) == ("half way", "INFO", "USER")
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None

        made = api.finish(leased)
        over = http.get(f"{one}/status?logs=true")
        assert (over.status_code, over.json()["status"]) == (200, "COMPLETED")
        assert over.json()["metrics"] == {"inference_time": 0.75}
        assert [line["message"] for line in over.json()["logs"]] == ["half way"]
        assert not {"error", "progress"} & set(over.json())

        result = http.get(one)
        assert result.status_code == 200
        assert result.headers["x-fal-request-id"] == request
        body = result.json()
        assert (body["seed"], body["prompt"], body["timings"]) == (3, "a fox", {"inference": 0.75})
        assert body["has_nsfw_concepts"] == [False]
        image = body["images"][0]
        assert (image["width"], image["height"], image["content_type"]) == (64, 64, "image/png")
        assert image["url"].startswith(f"{api.url}/cdn/files/")
    with api.http(key=None) as anybody:
        assert anybody.get(image["url"]).content == made[0]


@pytest.mark.parametrize("logs", ["1", "true", "0", "false", ""])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_form_of_logs_and_slash(api: Api, logs: str, slash: str) -> None:
    request = api.done()
    with api.http() as http:
        answer = http.get(f"/queue/test/blank/requests/{request}/status{slash}?logs={logs}")
        assert answer.status_code == 200
        assert isinstance(answer.json()["logs"], list) == (logs in ("1", "true"))
        assert http.get(f"/queue/test/blank/requests/{request}{slash}").status_code == 200


@pytest.mark.parametrize("path", ["test/blank", "test/blank/deep/down", "anything/else", "workflows/a/b"])
def test_requests_are_found_by_id_whatever_the_path(api: Api, path: str) -> None:
    request = api.done()
    with api.http() as http:
        for form in (f"/queue/{path}/requests/{request}", f"/queue/{path}/requests/{request}/response"):
            assert http.get(form).json()["prompt"] == "a fox"
        status = http.get(f"/queue/requests/{request}/status").json()
    assert status["status_url"] == f"{api.url}/queue/test/blank/requests/{request}/status"


def test_unknown_and_malformed_ids_and_other_tenants_are_not_found(api: Api) -> None:
    request, stranger = api.submit(), api.stranger()
    for key, one in ((api.key, UNKNOWN), (api.key, "nonsense"), (api.key, "%00"), (stranger, request)):
        with api.http(key) as http:
            for method, path in (("GET", "/status"), ("GET", ""), ("PUT", "/cancel"), ("GET", "/status/stream")):
                answer = http.request(method, f"/queue/test/blank/requests/{one}{path}")
                assert answer.status_code == 404
                assert answer.json()["status"] == "NOT_FOUND"
    assert api.state(request) == "queued"


def test_a_waiting_request_is_cancelled_at_once(api: Api) -> None:
    request = api.submit()
    one = f"/queue/test/blank/requests/{request}"
    with api.http() as http:
        cancelled = http.put(f"{one}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "CANCELLATION_REQUESTED")
        status = http.get(f"{one}/status")
        assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
        assert status.json()["error_type"] == "client_cancelled"
        result = http.get(one)
        assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
        again = http.put(f"{one}/cancel/")
        assert (again.status_code, again.json()["status"]) == (400, "ALREADY_COMPLETED")


def test_a_running_request_has_its_worker_told(api: Api) -> None:
    request = api.submit()
    leased = api.take(request)
    api.begin(leased)
    with api.http() as http:
        assert http.put(f"/queue/test/blank/requests/{request}/cancel").status_code == 202
        assert api.cancelled[-1] == leased.lease
        assert http.get(f"/queue/test/blank/requests/{request}/status").json()["status"] == "IN_PROGRESS"
        api.fail(leased, "client_cancelled")
        assert http.get(f"/queue/test/blank/requests/{request}").status_code == 499


@pytest.mark.parametrize(
    ("code", "status"),
    [("sample_failed", 500), ("generation_timeout", 504), ("runner_disconnected", 503), ("model_too_large", 500),
     ("missing_weights", 500), ("image_load_error", 422), ("file_download_error", 422), ("never_heard_of", 500)],
)  # fmt: skip
def test_failures_have_their_own_status_and_body(api: Api, code: str, status: int) -> None:
    request = api.submit()
    api.fail(api.take(request), code, "the sky fell")
    with api.http() as http:
        told = http.get(f"/queue/test/blank/requests/{request}/status")
        result = http.get(f"/queue/test/blank/requests/{request}")
    assert (told.status_code, told.json()["error"], told.json()["error_type"]) == (200, "the sky fell", code)
    assert result.status_code == status
    body = result.json()
    assert body["message"] == "the sky fell"
    assert "the sky fell" in json.dumps(body["detail"])
    assert result.headers["x-fal-error-type"] == code
    assert result.headers["x-fal-request-id"] == request


def test_a_start_deadline_that_passed(api: Api) -> None:
    with api.http(x_fal_request_timeout="0.05") as http:
        request = http.post("/queue/test/blank", json={"prompt": "x"}).json()["request_id"]
        while request not in api.call(api.requests.reclaim()):
            pass
        result = http.get(f"/queue/test/blank/requests/{request}")
    assert result.status_code == 504
    assert result.headers["x-fal-request-timeout-type"] == "user"
    assert result.json()["error_type"] == "request_timeout"


def test_priority_and_other_headers_are_kept(api: Api) -> None:
    headers = {"x_fal_queue_priority": "low", "x_fal_tags": "team=art", "x_fal_no_retry": "1", "x_fal_store_io": "0"}
    with api.http(**headers) as http:
        request = http.post("/queue/test/blank?fal_webhook=https://example.com/hook", json={"prompt": "x"}).json()
    view = api.call(api.requests.get("default", request["request_id"]))
    assert (view.priority, view.tags, view.store_io) == (2, {"team": "art"}, False)
    assert view.webhook_url == "https://example.com/hook"
    assert view.base_url == f"{api.url}/cdn"
    api.fail(api.take(request["request_id"]), "internal_server_error")
    assert api.state(request["request_id"]) == "failed"


def test_a_full_queue_refuses(api: Api) -> None:
    api.submit()
    with api.http() as http:
        answer = http.post("/queue/test/blank?fal_max_queue_length=1", json={"prompt": "x"})
    assert (answer.status_code, answer.json()["error_type"]) == (429, "queue_full")


def test_an_idempotency_key_makes_one_request_of_two(api: Api) -> None:
    with api.http(idempotency_key="once") as http:
        first, second = (http.post("/queue/test/blank", json={"prompt": "x", "seed": 1}).json() for _ in range(2))
        assert first["request_id"] == second["request_id"]
        assert http.post("/queue/test/blank", json={"prompt": "y"}).status_code == 409


def test_input_in_the_query(api: Api) -> None:
    with api.http() as http:
        answer = http.get("/queue/test/blank?prompt=a+cat&seed=5&num_images=2&sync_mode=false&logs=1")
    assert answer.status_code == 200
    job = api.take(answer.json()["request_id"]).generation
    assert (job.prompt, job.seed, job.count, job.inline) == ("a cat", 5, 2, False)


def test_sync_mode_hands_pictures_over(api: Api) -> None:
    request = api.done(sync_mode=True, num_images=2)
    with api.http() as http:
        images = http.get(f"/queue/test/blank/requests/{request}").json()["images"]
    assert [image["url"].partition(",")[0] for image in images] == ["data:image/png;base64"] * 2


def test_a_deleted_result_is_gone(api: Api) -> None:
    request = api.done()
    api.call(api.requests.delete_payloads("default", request))
    with api.http() as http:
        answer = http.get(f"/queue/test/blank/requests/{request}")
        assert (answer.status_code, answer.json()["error_type"]) == (404, "file_not_found")
        assert http.get(f"/queue/test/blank/requests/{request}/status").status_code == 200


@pytest.mark.parametrize("host", ["queue.fal.run", "queue.localhost"])
def test_the_queue_at_a_host_of_its_own(api: Api, host: str) -> None:
    with api.http(host=host) as http:
        body = http.post("/test/blank", json={"prompt": "x"}).json()
        base = "https://queue.fal.run" if "fal" in host else f"http://{host}"
        assert body["status_url"] == f"{base}/test/blank/requests/{body['request_id']}/status"
        api.finish(api.take(body["request_id"]))
        url = http.get(f"/test/blank/requests/{body['request_id']}").json()["images"][0]["url"]
    assert url.startswith("https://v3.fal.media/files/" if "fal" in host else f"{base}/cdn/files/")


def test_the_status_stream_tells_changes_and_ends(api: Api) -> None:
    request = api.submit()
    with api.http() as http, http.stream("GET", f"/queue/test/blank/requests/{request}/status/stream?logs=1") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-fal-request-id"] == request
        lines = answer.iter_lines()
        assert '"IN_QUEUE"' in next(lines)
        leased = api.take(request)
        api.begin(leased)
        api.note(leased, "one")
        api.progress(leased, 7)
        api.note(leased, "two")
        api.finish(leased)
        events = events_of("\n".join(lines))
    assert events[-1]["status"] == "COMPLETED"
    assert events[-1]["metrics"] == {"inference_time": 0.75}
    assert all("logs" in event for event in events)
    assert [line["message"] for event in events for line in event["logs"]] == ["one", "two"]
    steps = [event["progress"] for event in events if "progress" in event]
    assert [(step["stage"], step["step"], step["steps"]) for step in steps] == [("denoise", 7, 20)]
    assert "preview" not in steps[0]


def test_a_status_stream_with_previews_asks_the_worker_for_them(api: Api) -> None:
    request = api.submit()
    url = f"/queue/test/blank/requests/{request}/status/stream?previews=1"
    with api.http() as http, http.stream("GET", url) as answer:
        lines = answer.iter_lines()
        next(lines)
        leased = api.take(request)
        api.begin(leased)
        while '"IN_PROGRESS"' not in next(lines):
            pass
        api.progress(leased, 1, picture(kind="JPEG"))
        shown = next(line for line in lines if '"progress"' in line)
        api.finish(leased)
        assert '"COMPLETED"' in list(lines)[-2]
    assert leased.lease in api.watched
    assert json.loads(shown.removeprefix("data: "))["progress"]["preview"].startswith("data:image/jpeg;base64,")


def test_the_stream_of_a_finished_request_is_one_event(api: Api) -> None:
    request = api.done()
    with api.http() as http:
        events = events_of(http.get(f"/queue/test/blank/requests/{request}/status/stream").text)
    assert [event["status"] for event in events] == ["COMPLETED"]


def test_a_reader_who_goes_leaves_the_request_alone(api: Api) -> None:
    request = api.submit()
    with api.http() as http, http.stream("GET", f"/queue/test/blank/requests/{request}/status/stream") as answer:
        next(answer.iter_lines())
    leased = api.take(request)
    api.begin(leased)
    assert api.state(request) == "running"
    api.finish(leased)


def test_webhooks_are_told_fals_body(api: Api) -> None:
    with api.http() as http:
        made = [
            http.post("/queue/test/blank?fal_webhook=https://example.com/h", json={"prompt": "x"}).json()["request_id"]
            for _ in range(2)
        ]
    api.finish(api.take(made[0]))
    api.fail(api.take(made[1]), "sample_failed")
    due = {
        one.request_id: json.loads(api.call(api.requests.webhook_body(one)))
        for one in api.call(api.requests.due_webhooks(100))
    }
    good, bad = due[made[0]], due[made[1]]
    assert (good["status"], good["gateway_request_id"]) == ("OK", made[0])
    assert good["payload"]["images"][0]["url"].startswith(f"{api.url}/cdn/files/")
    assert (bad["status"], bad["error"]) == ("ERROR", "Invalid status code: 500")
    assert bad["payload"]["error_type"] == "sample_failed"


def test_which_images_were_blacked_out_is_told(api: Api) -> None:
    request = api.submit(num_images=2, enable_safety_checker=True)
    leased = api.take(request)
    assert leased.generation.safety
    api.finish(leased, flagged={1})
    with api.http() as http:
        assert http.get(f"/queue/test/blank/requests/{request}").json()["has_nsfw_concepts"] == [False, True]
