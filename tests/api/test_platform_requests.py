"""One request's detail, and the end of its payload, in fal's shapes."""

from __future__ import annotations

from laterna.contracts.messages import Finished, Span, Spent
from laterna.media.objects import is_key
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
    assert sum(line["device_seconds"] for line in body["usage"]) == 2.0
    assert [line["amount"] for line in body["usage"] if line["stage"] == "price"] == [0.001]


def test_nobody_else_sees_or_ends_it(api: Api) -> None:
    request = api.done()
    for key, seen, ended in ((api.stranger(), 404, 403), (None, 401, 401)):
        with api.http(key=key) as http:
            assert http.get(f"{ONE}/{request}").status_code == seen
            answer = http.delete(f"{ONE}/{request}/payloads")
            assert (answer.status_code, answer.json()["error"]["type"]) == (ended, "authorization_error")
    assert api.state(request) == "ok"


def test_a_deleted_payload_is_gone_with_its_files(api: Api) -> None:
    request = api.done(num_images=2)
    with api.http() as http:
        urls = [made["url"] for made in http.get(f"/queue/test/blank/requests/{request}").json()["images"]]
        kept = {path.name for path in api.media.folder.rglob("*") if is_key(path.name)}
        results = http.delete(f"{ONE}/{request}/payloads").json()["cdn_delete_results"]
        assert {(one["link"], one["exception"]) for one in results} == {(url, None) for url in urls}
        left = {path.name for path in api.media.folder.rglob("*") if is_key(path.name)}
        assert len(kept - left) == 2
        assert all(http.get(url).status_code == 404 for url in urls)
        assert http.delete(f"{ONE}/{request}/payloads").status_code == 200, "again does no harm"


def test_a_request_that_goes_on_keeps_its_payload(api: Api) -> None:
    request = api.submit()
    with api.http() as http:
        answer = http.delete(f"{ONE}/{request}/payloads")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
        assert http.get(f"{ONE}/{request}").json()["attempts"] == []
    api.finish(api.take(request))
