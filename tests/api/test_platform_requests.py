"""One request's detail, and the end of its payload, in fal's shapes."""

from __future__ import annotations

from datetime import datetime

import pytest

from laterna.contracts.messages import Finished, Span, Spent
from laterna.media.objects import is_key
from laterna.requests.requests import Answer, Try
from tests.api.conftest import Api

ONE = "/platform/v1/models/requests"


def test_a_request_is_told_with_its_attempts_timeline_and_usage(api: Api) -> None:
    request = api.submit()
    first = api.take(request)
    api.call(api.requests.started(first.lease))
    api.call(api.requests.crashed(first.lease, "it died"))
    leased = api.take(request)
    spans = [
        Span(stage="encode", start_ns=0, device_ns=10**9, calls=1, smallest=1, largest=1),
        Span(stage="denoise", start_ns=10**9, device_ns=5 * 10**9, calls=4, smallest=2, largest=7),
    ]
    spent = [Spent(stage="encode", calls=1, device_ns=10**9), Spent(stage="denoise", calls=4, device_ns=10**9)]
    api.call(api.requests.started(leased.lease))
    said = Finished(lease=leased.lease, artifacts=[], spent=spent, inference_s=6.5, timeline=spans)
    api.call(api.requests.finish(said))
    with api.http() as http:
        body = http.get(f"{ONE}/{request}").json()
    assert (body["outcome"], body["endpoint_id"], body["duration"]) == ("ok", "test/blank", 6.5)
    lost, done = body["attempts"]
    assert (lost["outcome"], lost["timeline"], lost["device_seconds"]) == ("lost", [], None)
    assert (done["outcome"], done["worker"], done["device_seconds"]) == ("ok", "cpu", 2.0)
    assert done["timeline"] == [
        {"stage": "encode", "start_seconds": 0.0, "seconds": 1.0, "calls": 1, "batch": {"smallest": 1, "largest": 1}},
        {"stage": "denoise", "start_seconds": 1.0, "seconds": 5.0, "calls": 4, "batch": {"smallest": 2, "largest": 7}},
    ]
    whole = (datetime.fromisoformat(body["ended_at"]) - datetime.fromisoformat(body["sent_at"])).total_seconds()
    assert sum(part["seconds"] for part in body["timeline"]) == pytest.approx(whole, abs=1e-9)
    assert [(part["stage"], part["attempt"]) for part in body["timeline"]] == [
        ("queue", 1),
        ("run", 1),
        ("queue", 2),
        ("encode", 2),
        ("denoise", 2),
        ("settle", 2),
    ]
    assert sum(line["device_seconds"] for line in body["usage"]) == 2.0
    assert [line["amount"] for line in body["usage"] if line["stage"] == "price"] == [0.001]


def test_a_webhook_is_told_of_with_its_tries_and_again_when_asked(api: Api) -> None:
    request = api.done("test/blank?fal_webhook=https://example.org/hook")
    [delivery] = [one for one in api.call(api.requests.due_webhooks(99)) if one.request_id == request]
    answer = Answer(status=503, error="answered 503")
    went = Try(answer=answer, began_us=1_700_000_000_000_000, took_us=1500)
    api.call(api.requests.webhook_tried(delivery, went))
    with api.http() as http:
        webhook = http.get(f"{ONE}/{request}").json()["webhook"]
        assert webhook["tries"] == [
            {"time": "2023-11-14T22:13:20+00:00", "status": 503, "error": "answered 503", "milliseconds": 1.5}
        ]
        assert (webhook["url"], webhook["delivered_at"]) == ("https://example.org/hook", None)
        assert webhook["next_at"] is not None
        assert http.post(f"{ONE}/{request}/redeliver").status_code == 202
        silent = api.done()
        refused = http.post(f"{ONE}/{silent}/redeliver")
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "validation_error")
        assert http.get(f"{ONE}/{silent}").json()["webhook"] is None
    with api.http(key=api.stranger()) as http:
        assert http.post(f"{ONE}/{request}/redeliver").status_code == 404
    assert request in {one.request_id for one in api.call(api.requests.due_webhooks(99))}


def test_the_public_keys_are_where_receivers_look(api: Api) -> None:
    paths = [("/.well-known/jwks.json", "localhost"), ("/rest/.well-known/jwks.json", "localhost")]
    paths += [("/.well-known/jwks.json", host) for host in ("rest.fal.ai", "rest.alpha.fal.ai", "rest.localhost")]
    with api.http(key=None) as http:
        answers = [http.get(path, headers={"host": host}) for path, host in paths]
    assert all(answer.json() == api.services.jwks() for answer in answers)
    assert all(key.keys() >= {"kty", "crv", "x"} and "d" not in key for key in answers[0].json()["keys"])


def test_nobody_else_sees_or_ends_it(api: Api) -> None:
    request = api.done()
    for key, seen, ended, kind in ((api.stranger(), 404, 404, "not_found"), (None, 401, 401, "authorization_error")):
        with api.http(key=key) as http:
            assert http.get(f"{ONE}/{request}").status_code == seen
            answer = http.delete(f"{ONE}/{request}/payloads")
            assert (answer.status_code, answer.json()["error"]["type"]) == (ended, kind)
    assert api.state(request) == "ok"


def test_a_deleted_payload_is_gone_with_its_files(api: Api) -> None:
    request = api.done(num_images=2)
    with api.http() as http:
        urls = [made["url"] for made in http.get(f"/queue/test/blank/requests/{request}").json()["images"]]
        kept = {path.name for path in api.settings.media.rglob("*") if is_key(path.name)}
        results = http.delete(f"{ONE}/{request}/payloads").json()["cdn_delete_results"]
        assert {(one["link"], one["exception"]) for one in results} == {(url, None) for url in urls}
        left = {path.name for path in api.settings.media.rglob("*") if is_key(path.name)}
        assert len(kept - left) == 2
        assert all(http.get(url).status_code == 404 for url in urls)
        assert http.delete(f"{ONE}/{request}/payloads").status_code == 200, "again does no harm"


def test_a_request_that_goes_on_keeps_its_payload(api: Api) -> None:
    request = api.submit()
    with api.http() as http:
        answer = http.delete(f"{ONE}/{request}/payloads")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
        body = http.get(f"{ONE}/{request}").json()
        assert body["attempts"] == []
        assert [(part["stage"], part["start_seconds"]) for part in body["timeline"]] == [("queue", 0.0)]
    api.finish(api.take(request))
