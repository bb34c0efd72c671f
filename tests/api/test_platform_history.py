"""The history of requests: filters, orders, pages, payloads, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import Api

HISTORY = "/platform/v1/models/requests/by-endpoint"


class Past:
    """A tenant of the test's own, with requests that ended in every way."""

    def __init__(self, api: Api) -> None:
        self.api, self.key = api, api.stranger()
        self.good = [self.sent(), self.sent("test/blank/deep/down")]
        for request_id in self.good:
            api.finish(api.take(request_id))
        self.bad = self.sent(seed=7)
        api.fail(api.take(self.bad), "sample_failed", "it became NaN")
        self.theirs = self.sent()
        api.fail(api.take(self.theirs), "file_download_error")
        self.cancelled = self.sent()
        with api.http(key=self.key) as http:
            http.put(f"/queue/requests/{self.cancelled}/cancel")
        self.waiting = self.sent()
        self.settled = [*self.good, self.bad, self.theirs, self.cancelled]

    def sent(self, endpoint: str = "test/blank", **body: Any) -> str:
        with self.api.http(key=self.key) as http:
            return str(http.post(f"/queue/{endpoint}", json={"prompt": "a fox", **body}).json()["request_id"])

    def get(self, query: str = "") -> dict[str, Any]:
        with self.api.http(key=self.key) as http:
            answer = http.get(f"{HISTORY}?{query}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ids(self, query: str = "") -> list[str]:
        return [item["request_id"] for item in self.get(query)["items"]]


@pytest.fixture
def past(api: Api) -> Past:
    return Past(api)


def test_what_has_ended_is_listed_latest_first(past: Past) -> None:
    body = past.get()
    assert [item["request_id"] for item in body["items"]] == past.settled[::-1]
    assert (body["has_more"], body["next_cursor"]) == (False, None)
    item = next(item for item in body["items"] if item["request_id"] == past.good[0])
    assert (item["endpoint_id"], item["status_code"], item["duration"]) == ("test/blank", 200, 0.75)
    assert item["sent_at"] <= item["started_at"] <= item["ended_at"]
    never = next(item for item in body["items"] if item["request_id"] == past.cancelled)
    assert (never["status_code"], never["started_at"], never["duration"]) == (499, None, 0.0)


def test_filters(past: Past) -> None:
    assert past.ids("status=success") == past.good[::-1]
    assert past.ids("status=error") == [past.bad]
    assert past.ids("status=user_error") == [past.cancelled, past.theirs]
    assert past.ids("endpoint_id=test/blank/deep/down") == [past.good[1]]
    assert set(past.ids("endpoint_id=test/blank/deep/down,test/blank")) == set(past.settled)
    assert past.ids(f"request_id={past.bad}") == [past.bad]
    assert past.ids(f"request_id={past.waiting}") == []
    assert past.ids("request_id=nothing") == []
    now = datetime.now(UTC)
    later = [quote((now + timedelta(hours=hours)).isoformat()) for hours in (1, 2)]
    assert past.ids(f"start={later[0]}&end={later[1]}") == []
    assert past.ids(f"end={quote((now - timedelta(hours=1)).isoformat())}") == []
    assert len(past.ids(f"start={quote((now - timedelta(hours=1)).isoformat())}")) == 5


@pytest.mark.parametrize("order", ["ended_at", "duration"])
def test_pages_cover_everything_once_in_order(past: Past, order: str) -> None:
    whole, seen, cursor = past.ids(f"sort_by={order}"), [], ""
    while True:
        page = past.get(f"sort_by={order}&limit=2&cursor={cursor}")
        seen += [item["request_id"] for item in page["items"]]
        if not page["has_more"]:
            break
        cursor = page["next_cursor"]
    assert seen == whole
    assert set(seen) == set(past.settled)
    durations = [item["duration"] for item in past.get("sort_by=duration")["items"]]
    assert durations == sorted(durations, reverse=True)


def test_payloads_come_with_it_where_they_are_asked_for_and_kept(past: Past) -> None:
    (item,) = past.get(f"request_id={past.good[0]}&expand=payloads")["items"]
    assert item["json_input"] == {"prompt": "a fox"}
    assert item["json_output"]["images"][0]["url"].startswith("http")
    (item,) = past.get(f"request_id={past.bad}&expand=payloads")["items"]
    assert item["json_input"]["seed"] == 7
    assert item["json_output"]["detail"]
    past.api.call(past.api.requests.delete_payloads(tenant_of(past), past.good[0]))
    (item,) = past.get(f"request_id={past.good[0]}&expand=payloads")["items"]
    assert (item["json_input"], item["json_output"]) == (None, None)


def tenant_of(past: Past) -> str:
    return past.api.call(past.api.keys.authenticate(f"Key {past.key}")).tenant


def test_nobody_sees_what_others_asked_for(past: Past, api: Api) -> None:
    with api.http(key=api.stranger()) as http:
        assert http.get(f"{HISTORY}?request_id={past.bad}").json()["items"] == []
    with api.http(key=None) as http:
        answer = http.get(HISTORY)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authorization_error")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "cursor=x",
        "cursor=1.x",
        "cursor=-1.018f0000-0000-7000-8000-000000000000",
        "status=fine",
        "sort_by=name",
        "start=yesterday",
        "end=99999-01-01",
        "endpoint_id=" + ",".join(["a/b"] * 51),
    ],
)
def test_a_wrong_parameter_is_refused_in_the_platforms_shape(api: Api, query: str) -> None:
    with api.http() as http:
        answer = http.get(f"{HISTORY}?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
    assert query.partition("=")[0] in answer.json()["error"]["message"]


def test_whatever_else_is_asked_of_the_platform_is_refused_in_its_shape(api: Api) -> None:
    with api.http() as http:
        assert http.get("/platform/v1/nothing").status_code == 404
        assert http.delete("/platform/v1/models").json()["error"]["type"] == "validation_error"
