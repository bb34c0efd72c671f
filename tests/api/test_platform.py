"""The platform API: what there is, in fal's shape, without a key."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api


def test_models_are_listed_with_what_clients_read(api: Api) -> None:
    with api.http(key=None) as http:
        body = http.get("/platform/v1/models").json()
    found = {model["endpoint_id"]: model["metadata"] for model in body["models"]}
    assert {"laterna/sprite", "fal-ai/flux/dev", "test/blank", "test/blank/deep/down"} <= set(found)
    assert found["laterna/sprite"]["category"] == "text-to-image"
    assert found["laterna/sprite"]["status"] == "active"
    assert found["fal-ai/flux/dev"]["license_type"] == "research"
    assert (body["has_more"], body["next_cursor"]) == (False, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=sprite", {"laterna/sprite"}),
        ("q=flux+schnell", {"fal-ai/flux/schnell"}),
        ("q=nothing-of-the-kind", set()),
        ("category=text-to-video", set()),
        ("endpoint_id=laterna/sprite&endpoint_id=test/blank", {"laterna/sprite", "test/blank"}),
        ("endpoint_id=laterna/sprite,test/blank", {"laterna/sprite", "test/blank"}),
    ],
)
def test_filters(api: Api, query: str, expected: set[str]) -> None:
    with api.http(key=None) as http:
        models = http.get(f"/platform/v1/models?{query}").json()["models"]
    assert {model["endpoint_id"] for model in models} == expected


def test_pages_cover_everything_once(api: Api) -> None:
    seen: list[str] = []
    with api.http(key=None) as http:
        everything = [m["endpoint_id"] for m in http.get("/platform/v1/models").json()["models"]]
        cursor = ""
        while True:
            page = http.get(f"/platform/v1/models?limit=3&cursor={cursor}").json()
            seen += [model["endpoint_id"] for model in page["models"]]
            if not page["has_more"]:
                break
            cursor = page["next_cursor"]
    assert seen == everything


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("limit=0", 400, "validation_error"),
        ("limit=x", 400, "validation_error"),
        ("cursor=%21%21", 400, "validation_error"),
        ("cursor=-1", 400, "validation_error"),
        ("endpoint_id=no/such", 404, "not_found"),
        ("endpoint_id=" + ",".join(["a/b"] * 51), 400, "validation_error"),
    ],
)
def test_errors_have_the_platforms_shape(api: Api, query: str, status: int, kind: str) -> None:
    with api.http(key=None) as http:
        answer = http.get(f"/platform/v1/models?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert answer.json()["error"]["message"]


def test_prices(api: Api) -> None:
    with api.http(key=None) as http:
        body = http.get("/platform/v1/models/pricing?endpoint_id=test/blank").json()
    assert body["prices"] == [{"endpoint_id": "test/blank", "unit_price": 0.001, "unit": "images", "currency": "USD"}]


def test_openapi_names_our_own_queue(api: Api) -> None:
    with api.http(key=None) as http:
        document = http.get("/api/openapi/queue/openapi.json?endpoint_id=laterna/sprite").json()
        models = http.get("/platform/v1/models?endpoint_id=laterna/sprite&expand=openapi-3.0").json()["models"]
        assert http.get("/api/openapi/queue/openapi.json?endpoint_id=no/such").status_code == 404
    assert document["servers"] == [{"url": f"{api.url}/queue"}]
    assert models[0]["openapi"] == document


def test_at_fals_own_host(api: Api) -> None:
    with api.http(key=None, host="api.fal.ai") as http:
        assert http.get("/v1/models?q=sprite").json()["models"][0]["endpoint_id"] == "laterna/sprite"
