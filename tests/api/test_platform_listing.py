"""A tenant's requests in pages, by every filter, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api

PATH = "/platform/v1/models/requests"


def ids(api: Api, query: str = "", key: str | None = "") -> set[str]:
    with api.http(key=key) as http:
        answer = http.get(f"{PATH}?limit=100&{query}")
    assert answer.status_code == 200, answer.text
    return {item["request_id"] for item in answer.json()["items"]}


def test_filters_leave_what_they_name(api: Api) -> None:
    with api.http(x_fal_tags="team=art, run=7") as http:
        tagged = http.post("/queue/test/blank/deep/down", json={"prompt": "a fox"}).json()["request_id"]
    bad = api.submit()
    api.fail(api.take(bad), "sample_failed", "the sky fell")
    good, waits = api.done(), api.submit()
    mine = {tagged, bad, good, waits}
    assert ids(api) >= mine
    for query, expected in (
        ("state=settled", {bad, good}),
        ("state=queued&state=leased,running", {tagged, waits}),
        ("outcome=failed", {bad}),
        ("outcome=ok&state=queued", set()),
        ("endpoint_id=test/blank/deep/down", {tagged}),
        ("tag=team%3Dart", {tagged}),
        ("tag=team%3Dart&tag=run%3D7", {tagged}),
        ("tag=team%3Dart&tag=run%3D8", set()),
        ("tag=am%3Dart", set()),
        ("tag=TEAM%3Dart", set()),
        ("tag=team%3Dar_", set()),
        ("start=2001-01-01", mine),
        ("end=2001-01-01", set()),
    ):
        assert ids(api, query) & mine == expected, query
    assert not ids(api, key=api.stranger())


def test_pages_show_each_once(api: Api) -> None:
    sent = [api.submit() for _ in range(5)]
    seen, cursor = list[str](), ""
    with api.http() as http:
        while cursor is not None:
            page: dict[str, Any] = http.get(f"{PATH}?limit=2&state=queued&cursor={cursor}").json()
            seen += [item["request_id"] for item in page["items"]]
            cursor = page["next_cursor"]
    assert [one for one in seen if one in sent] == sent[::-1]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("query", ["state=odd", "outcome=odd", "tag=x", "cursor=x", "limit=0", "start=x"])
def test_what_cannot_be_read_is_refused(api: Api, query: str) -> None:
    with api.http() as http:
        answer = http.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
    with api.http(key=None) as http:
        assert http.get(PATH).status_code == 401
