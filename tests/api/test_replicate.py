"""Replicate's dialect: its shapes in and out, its waiting rule, its errors, the same queue behind it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import httpx2
import pytest

from laterna.api.replicate_asked import LONGEST_WAIT, _webhook, life_seconds, wait_seconds
from laterna.contracts.generation import TextToImage
from laterna.errors import InvalidInput
from tests.api.conftest import Api, running
from tests.requests.conftest import TAKEN

PREDICTIONS = "/replicate/v1/predictions"
BY_MODEL = "/replicate/v1/models/test/blank/predictions"
STATES = {"starting", "processing", "succeeded", "failed", "canceled"}


def client(api: Api, key: str = "", **headers: str) -> httpx2.Client:
    return api.http(key=None, authorization=f"Bearer {key or api.key}", **headers)


def version(api: Api, model: str = "test/blank") -> str:
    with client(api) as http:
        return str(http.get(f"/replicate/v1/models/{model}").json()["latest_version"]["id"])


def created(api: Api, path: str = BY_MODEL, **body: Any) -> dict[str, Any]:
    with client(api) as http:
        answer = http.post(path, json={"input": {"prompt": "a fox"}, **body})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    assert told["status"] in STATES
    assert all(isinstance(told[name], str) for name in ("id", "model", "version"))
    return told


def got(api: Api, prediction: str, **headers: str) -> dict[str, Any]:
    with client(api, **headers) as http:
        answer = http.get(f"{PREDICTIONS}/{prediction}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def events(text: str) -> list[tuple[str, str]]:
    """Names and data of a stream, every event with an id of its own."""
    found = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    assert len({event["id"] for event in found}) == len(found)
    return [(event["event"], event["data"]) for event in found]


def test_a_prediction_by_model_from_start_to_files(api: Api) -> None:
    first = created(api)
    assert (first["status"], first["output"], first["model"]) == ("starting", None, "test/blank")
    assert first["input"] == {"prompt": "a fox"}
    leased = api.take(first["id"])
    api.begin(leased)
    api.progress(leased, 5)
    api.note(leased, "half way")
    half = got(api, first["id"])
    assert half["status"] == "processing"
    assert "half way\n 25%|" in half["logs"].replace("\n25%", "\n 25%")
    assert re.search(r"^\d+%\|.*?\|\s*5/20", half["logs"].splitlines()[-1])
    made = api.finish(leased)
    last = got(api, first["id"])
    assert (last["status"], last["error"], last["data_removed"]) == ("succeeded", None, False)
    assert last["metrics"]["predict_time"] == 0.75
    assert [base64.b64decode(url.partition(",")[2]) for url in last["output"]] == made
    assert all(url.startswith("data:image/png;base64,") for url in last["output"])
    assert api.call(api.requests.get("default", first["id"])).dialect == "replicate"


@pytest.mark.parametrize("form", ["{version}", "test/blank", "test/blank:{version}"])
def test_a_version_is_named_in_each_of_replicates_ways(api: Api, form: str) -> None:
    wanted = version(api)
    told = created(api, PREDICTIONS, version=form.format(version=wanted))
    assert (told["version"], told["model"]) == (wanted, "test/blank")


def test_an_endpoint_below_a_model_is_a_model_with_a_plain_name(api: Api) -> None:
    for path in ("test/blank-deep-down", "test/blank/deep/down"):
        told = created(api, f"/replicate/v1/models/{path}/predictions")
        assert told["model"] == "test/blank-deep-down"
        assert api.call(api.requests.get("default", told["id"])).endpoint == "test/blank/deep/down"


def test_files_are_https_where_the_client_came_by_https_and_data_where_it_did_not(api: Api) -> None:
    request_id = api.done()
    assert got(api, request_id)["output"][0].startswith("data:image/png;base64,")
    with running(api.settings.data.parent / "trusting", trusted_proxies=("127.0.0.1",)) as behind:
        request_id = behind.done()
        told = got(behind, request_id, x_forwarded_proto="https", x_forwarded_host="localhost")
        assert told["output"][0].startswith("https://localhost/cdn/files/")
        assert told["urls"]["stream"].startswith("https://localhost/replicate/v1/")


def test_waiting_ends_with_the_prediction(api: Api) -> None:
    with client(api, prefer="wait") as http:
        answer = api.beside(lambda: http.post(BY_MODEL, json={"input": {"prompt": "a"}}))
        api.finish(api.take())
        assert answer.result(10).json()["status"] == "succeeded"


def test_what_still_runs_when_the_wait_is_over_is_said_to_be_starting(api: Api) -> None:
    with client(api, prefer="wait=1") as http:
        answer = api.beside(lambda: http.post(BY_MODEL, json={"input": {"prompt": "a"}}))
        leased = api.take()
        api.begin(leased)
        told = answer.result(10).json()
    assert told["status"] == "starting"
    assert got(api, told["id"])["status"] == "processing"
    api.finish(leased)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait", LONGEST_WAIT),
        ("wait=7", 7),
        ("respond-async, wait=7", 7),
        ("wait=0", 1),
        ("wait=999", 60),
        ("wait=-1", 0),
        ("wait=1e3", 0),
        ("wait=٣", 0),
    ],
)
def test_prefer_is_read_leniently(prefer: str, seconds: int) -> None:
    assert wait_seconds(prefer) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("5m", 300), ("1h30m45s", 5445), ("1H", 3600), ("1h5", 3605)]
)
def test_a_life_is_read_in_each_of_replicates_ways(api: Api, text: str, seconds: int) -> None:
    assert life_seconds(text) == seconds
    with client(api, cancel_after=text) as http:
        assert http.post(BY_MODEL, json={"input": {"prompt": "a"}}).status_code == 201


@pytest.mark.parametrize("text", ["", " ", "4", "0s", "4s", "-5", "1d", "ten", "m", "5s1h", "٩٠"])
def test_a_life_that_is_none_or_too_short_is_refused(api: Api, text: str) -> None:
    with pytest.raises(InvalidInput, match="cancel-after"):
        life_seconds(text)


def test_a_failed_prediction_says_why(api: Api) -> None:
    with client(api, prefer="wait") as http:
        answer = api.beside(lambda: http.post(BY_MODEL, json={"input": {"prompt": "a"}}))
        api.fail(api.take(), "sample_failed", "a sample became NaN")
        told = answer.result(10).json()
    assert (told["status"], told["error"], told["output"]) == ("failed", "a sample became NaN", None)


def test_cancel_ends_what_waits_at_once_and_leaves_what_ended(api: Api) -> None:
    told = created(api)
    with client(api) as http:
        first = http.post(f"{PREDICTIONS}/{told['id']}/cancel")
        assert (first.status_code, first.json()["status"]) == (200, "canceled")
        assert http.post(f"{PREDICTIONS}/{told['id']}/cancel").json()["status"] == "canceled"
        done = api.done()
        assert http.post(f"{PREDICTIONS}/{done}/cancel").json()["status"] == "succeeded"


def test_cancel_tells_the_worker_of_what_runs_and_answers_when_it_has_stopped(api: Api) -> None:
    told = created(api)
    leased = api.take(told["id"])
    api.begin(leased)
    with client(api) as http:
        answer = api.beside(lambda: http.post(f"{PREDICTIONS}/{told['id']}/cancel"))
        while leased.lease not in api.cancelled:
            assert not answer.done()
        api.fail(leased, "client_cancelled")
        assert answer.result(10).json()["status"] == "canceled"


def test_predictions_are_listed_in_pages_each_once(api: Api) -> None:
    wanted = {api.done() for _ in range(2)} | {created(api)["id"] for _ in range(60)}
    seen: list[str] = []
    with client(api) as http:
        url: str | None = PREDICTIONS
        while url is not None:
            page = http.get(url).json()
            assert set(page) == {"previous", "next", "results"}
            seen += [entry["id"] for entry in page["results"]]
            mine = [entry for entry in page["results"] if entry["id"] in wanted]
            assert all(url.startswith("http:") for entry in mine for url in entry["output"] or [])
            url = page["next"]
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)


def test_a_stream_tells_log_files_and_end_to_whoever_has_its_address(api: Api) -> None:
    told = created(api)
    with api.http(key=None) as http:
        answer = api.beside(lambda: http.get(told["urls"]["stream"]))
        leased = api.take(told["id"])
        api.note(leased, "first line\nsecond")
        made = api.finish(leased)
        text = answer.result(10).text
        again = http.get(told["urls"]["stream"]).text
    found = events(text.replace("data: second\n", ""))
    assert [name for name, _ in found] == ["logs", "output", "done"]
    assert "data: first line\ndata: second\n" in text
    assert base64.b64decode(found[1][1].partition(",")[2]) == made[0]
    assert found[2][1] == "{}"
    assert events(again.replace("data: second\n", ""))[1:] == found[1:]


@pytest.mark.parametrize(
    ("code", "names", "reason"),
    [("sample_failed", ["error", "done"], "error"), ("client_cancelled", ["done"], "canceled")],
)
def test_a_stream_ends_with_the_reason(api: Api, code: str, names: list[str], reason: str) -> None:
    told = created(api)
    api.fail(api.take(told["id"]), code, "it went wrong")
    with api.http(key=None) as http:
        found = [event for event in events(http.get(told["urls"]["stream"]).text) if event[0] != "logs"]
    assert [name for name, _ in found] == names
    assert json.loads(found[-1][1]) == {"reason": reason}


def test_a_streams_address_opens_no_other_stream(api: Api) -> None:
    one, other = created(api), created(api)
    token = one["urls"]["stream"].partition("token=")[2]
    with api.http(key=None) as http:
        for query in (f"?token={token}", "?token=", "", "?token=a.b.c"):
            answer = http.get(f"{PREDICTIONS}/{other['id']}/stream{query}")
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
        assert http.get(f"{PREDICTIONS}/{one['id']}", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_models_are_listed_searched_and_found_with_their_schema(api: Api) -> None:
    with client(api) as http:
        listed = http.get("/replicate/v1/models").json()["results"]
        for query in ("blank", '"blank"'):
            found = http.request("QUERY", "/replicate/v1/models", content=query).json()["results"]
            assert [f"{model['owner']}/{model['name']}" for model in found] == ["test/blank", "test/blank-deep-down"]
        assert {"test/blank", "laterna/sprite"} <= {f"{model['owner']}/{model['name']}" for model in listed}
        one = http.get("/replicate/v1/models/test/blank").json()
        versions = http.get("/replicate/v1/models/test/blank/versions").json()["results"]
        assert versions == [one["latest_version"]]
        assert http.get(f"/replicate/v1/models/test/blank/versions/{versions[0]['id']}").json() == versions[0]
        assert http.get(f"/replicate/v1/models/laterna/sprite/versions/{versions[0]['id']}").status_code == 404
    schemas = versions[0]["openapi_schema"]["components"]["schemas"]
    assert schemas["Output"] == {"title": "Output", "type": "array", "items": {"type": "string", "format": "uri"}}
    fields = schemas["Input"]["properties"]
    assert [field["x-order"] for field in fields.values()] == list(range(len(fields)))
    assert fields["output_format"]["allOf"] == [{"$ref": "#/components/schemas/output_format"}]
    assert schemas["output_format"]["enum"] == ["png", "jpeg", "webp"]
    assert fields["seed"]["type"] == "integer"
    assert fields["seed"]["nullable"]
    assert "anyOf" not in fields["seed"]


def test_the_surface_is_the_same_with_any_number_of_v1(api: Api) -> None:
    with client(api) as http:
        for path in ("/replicate", "/replicate/v1", "/replicate/v1/v1"):
            assert http.get(f"{path}/account").json()["username"] == "default"
            assert http.get(f"{path}/hardware").json()[0]["sku"] == "laterna"


def test_files_are_kept_read_listed_and_deleted(api: Api) -> None:
    with client(api) as http:
        sent = http.post(
            "/replicate/v1/files",
            files={
                "content": ("../a b.png", b"\x89PNG\r\n\x1a\n123", "text/html"),
                "metadata": ("blob", b'{"a": 1}', "application/json"),
            },
        )
        assert sent.status_code == 201, sent.text
        file = sent.json()
        assert (file["name"], file["content_type"], file["size"]) == ("a_b.png", "image/png", 11)
        with api.http(key=None) as plain:
            assert plain.get(file["urls"]["get"]).content == b"\x89PNG\r\n\x1a\n123"
        assert http.get(f"/replicate/v1/files/{file['id']}").json() == file
        assert file["id"] in [one["id"] for one in http.get("/replicate/v1/files").json()["results"]]
        with client(api, key=api.stranger()) as strange:
            assert strange.get(f"/replicate/v1/files/{file['id']}").status_code == 404
            assert strange.delete(f"/replicate/v1/files/{file['id']}").status_code == 404
        assert http.delete(f"/replicate/v1/files/{file['id']}").status_code == 204
        assert http.get(f"/replicate/v1/files/{file['id']}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data"}, b"x"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\nnonsense"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\nx\r\n--b--\r\n',
        ),
    ],
)
def test_what_is_no_file_is_refused_by_name(api: Api, headers: dict[str, str], body: bytes) -> None:
    with client(api) as http:
        answer = http.post("/replicate/v1/files", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": {}}, "input.prompt"),
        ({"input": {"prompt": 7}}, "input.prompt"),
        ({"input": {"prompt": "a", "num_images": 99}}, "input.num_images"),
        ({"input": ["a"]}, "input"),
        ({"input": {"prompt": "a"}, "version": 7}, "version"),
        ({"input": {"prompt": "a"}, "webhook": "ftp://x"}, "webhook"),
        ({"input": {"prompt": "a"}, "webhook": 7}, "webhook"),
        (
            {"input": {"prompt": "a"}, "webhook": "https://x.example", "webhook_events_filter": ["never"]},
            "webhook_events_filter",
        ),
        ({"input": {"prompt": "a"}, "webhook_events_filter": "completed"}, "webhook_events_filter"),
    ],
)
def test_a_wrong_field_is_a_problem_that_names_it_and_nothing_is_queued(api: Api, body: Any, field: str) -> None:
    before = api.call(api.requests.page("default", limit=1)).items
    with client(api) as http:
        answer = http.post(BY_MODEL, json=body)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"title", "detail", "status", "type", "instance", "invalid_fields"}
    assert [one["field"] for one in problem["invalid_fields"]] == [field]
    assert field in problem["detail"]
    assert api.call(api.requests.page("default", limit=1)).items == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{PREDICTIONS}", 422),
        ("GET", f"{PREDICTIONS}/nothing", 404),
        ("GET", f"{PREDICTIONS}/nothing/stream", 401),
        ("GET", "/replicate/v1/models/test/nothing", 404),
        ("GET", "/replicate/v1/models/test", 404),
        ("GET", "/replicate/v1/models?cursor=x", 422),
        ("GET", f"{PREDICTIONS}?cursor=x", 422),
        ("GET", "/replicate/v1/trainings", 404),
        ("POST", "/replicate/v1/deployments/a/b/predictions", 404),
        ("GET", "/replicate", 404),
        ("TRACE", "/replicate/v1/models", 405),
    ],
)
def test_refusals_are_problems(api: Api, method: str, path: str, status: int) -> None:
    with client(api) as http:
        answer = http.request(method, path, json={"input": {}} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("POST", "/replicate/v1/models/a/b/versions/c/trainings", "train a LoRA elsewhere"),
        ("GET", "/replicate/v1/trainings/x", "train a LoRA elsewhere"),
        ("POST", "/replicate/v1/deployments/a/b/predictions", "/replicate/v1/models/{owner}/{name}/predictions"),
        ("GET", "/replicate/v1/deployments", "/replicate/v1/models/{owner}/{name}/predictions"),
    ],
)
def test_what_is_not_served_says_what_is_in_its_place(api: Api, method: str, path: str, instead: str) -> None:
    with client(api) as http:
        answer = http.request(method, path, json={} if method == "POST" else None)
    assert (answer.status_code, answer.json()["type"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert instead in answer.json()["detail"]


def test_a_full_queue_says_when_to_ask_again(api: Api) -> None:
    created(api)
    with client(api) as http:
        answer = http.post(f"{BY_MODEL}?fal_max_queue_length=1", json={"input": {"prompt": "a"}})
    assert (answer.status_code, answer.json()["type"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0


def test_nobody_else_sees_a_prediction(api: Api) -> None:
    told = created(api)
    stranger = api.stranger()
    with client(api, key=stranger) as http:
        for method, path in (("GET", ""), ("POST", "/cancel")):
            answer = http.request(method, f"{PREDICTIONS}/{told['id']}{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "request_not_found")
        assert http.get(PREDICTIONS).json()["results"] == []
    with api.http(key=None) as http:
        assert http.get(f"{PREDICTIONS}/{told['id']}").status_code == 401
        assert http.post(BY_MODEL, json={"input": {"prompt": "a"}}).status_code == 401


def early(api: Api, prediction: str) -> tuple[str, dict[str, Any]]:
    """The first of what is told before its end, taken: the event and the body."""
    found = api.call(api.requests.due_tidings(100))
    [delivery] = [one for one in found if one.request_id == prediction]
    body = json.loads(api.call(api.requests.webhook_body(delivery)))
    api.call(api.requests.webhook_tried(delivery, TAKEN))
    return delivery.event, body


def test_a_webhook_is_told_the_prediction(api: Api) -> None:
    hook = {"webhook": "https://example.com/h"}
    told = created(api, **hook, webhook_events_filter=["start", "completed"])
    silent = created(api, **hook, webhook_events_filter=["logs"])
    leased = api.take(told["id"])
    api.note(leased, "half way")
    api.finish(leased)
    api.finish(api.take(silent["id"]))
    event, begun = early(api, told["id"])
    assert (event, begun["id"], begun["status"], begun["output"]) == ("start", told["id"], "processing", None)
    assert begun["started_at"] is not None
    due = {one.request_id: one for one in api.call(api.requests.due_webhooks(100))}
    assert silent["id"] not in due
    body = json.loads(api.call(api.requests.webhook_body(due[told["id"]])))
    assert {name: value for name, value in body.items() if name not in ("output", "urls", "logs")} == {
        name: value for name, value in got(api, told["id"]).items() if name not in ("output", "urls", "logs")
    }
    assert body["logs"] == "half way\n"
    with api.http(key=None) as http:
        assert http.get(body["output"][0]).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"webhook": "https://x.example"}, ("output", "completed")),
        (
            {"webhook": "https://x.example", "webhook_events_filter": ["completed", "logs", "logs"]},
            ("logs", "completed"),
        ),
        ({"webhook_completed": "https://x.example", "webhook_events_filter": ["start"]}, ("completed",)),
        ({"webhook": "https://x.example", "webhook_events_filter": []}, None),
        ({"webhook_events_filter": ["start"]}, None),
    ],
)
def test_the_events_that_are_told_are_those_that_were_asked_for(api: Api, body: Any, expected: Any) -> None:
    url, events = _webhook({"input": {}, **body})
    assert (None if url is None else events) == expected
    created(api, **body)


def test_what_is_told_before_the_end_says_nothing_of_it(api: Api) -> None:
    told = created(api, webhook="https://x.example", webhook_events_filter=["output", "logs"])
    leased = api.take(told["id"])
    api.begin(leased)
    api.progress(leased, 5)
    api.note(leased, "half way")
    api.call(api.requests.logged([told["id"]]))
    event, body = early(api, told["id"])
    assert (event, body["status"], body["output"]) == ("logs", "processing", None)
    assert body["logs"].startswith("half way\n")
    assert body["logs"].endswith("| 5/20\n")
    api.finish(leased)
    event, body = early(api, told["id"])
    assert (event, body["status"], len(body["output"])) == ("output", "processing", 1)
    assert (body["completed_at"], body["metrics"], body["error"]) == (None, {}, None)
    assert got(api, told["id"])["status"] == "succeeded"


def test_a_tenants_webhook_secret_is_its_own(api: Api) -> None:
    path = "/replicate/v1/webhooks/default/secret"
    with client(api) as mine, client(api, key=api.stranger()) as theirs, api.http(key=None) as nobody:
        first, other = mine.get(path).json()["key"], theirs.get(path).json()["key"]
        assert nobody.get(path).status_code == 401
    assert first != other
    assert first.startswith("whsec_")
    assert first.count("_") == 1


def test_input_reaches_the_endpoint_as_it_is(api: Api) -> None:
    told = created(api, input={"prompt": "x", "seed": 5, "num_images": 3, "negative_prompt": "rain"})
    job = api.take(told["id"]).generation
    assert isinstance(job, TextToImage)
    assert (job.seed, job.count, job.negative_prompt) == (5, 3, "rain")
