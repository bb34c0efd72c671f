"""Keys in fal's shapes, and what fal has not: rotation, scopes, models, realtime; nobody gives more than they have."""

from __future__ import annotations

from typing import Any

import pytest

from laterna.tenants.caller import ADMIN, API
from laterna.tenants.keys import DEFAULT_TENANT
from tests.api.conftest import Api

KEYS = "/platform/v1/keys"


def made(api: Api, key: str | None = "", **body: Any) -> dict[str, Any]:
    with api.http(key=key) as http:
        answer = http.post(KEYS, json={"alias": "made", **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def works(api: Api, key: str) -> bool:
    with api.http(key=key) as http:
        return http.get("/platform/v1/limits").status_code == 200


def test_a_key_is_shown_once_listed_and_ended_in_fals_shapes(api: Api) -> None:
    key = made(api, alias="ci")
    assert set(key) == {"key_id", "key_secret", "key"}
    assert key["key"] == f"{key['key_id']}:{key['key_secret']}"
    assert works(api, key["key"])
    with api.http() as http:
        answer = http.get(KEYS)
        assert (answer.json()["has_more"], answer.json()["next_cursor"]) == (False, None)
        found = next(one for one in answer.json()["keys"] if one["key_id"] == key["key_id"])
        assert (found["alias"], found["scope"], found["models"], found["realtime"]) == ("ci", "API", ["*"], False)
        assert found["created_at"].endswith("+00:00")
        assert found["last_used_at"] >= found["created_at"]
        assert found["expires_at"] is None
        assert key["key_secret"] not in answer.text
        assert http.delete(f"{KEYS}/{key['key_id']}").status_code == 204
        assert key["key_id"] not in http.get(KEYS).text
    assert not works(api, key["key"])


def test_a_key_is_rotated_with_an_overlap(api: Api) -> None:
    key = made(api)
    with api.http() as http:
        answer = http.post(f"{KEYS}/{key['key_id']}/rotate", json={"overlap_seconds": 3600}).json()
        assert answer["key_id"] == key["key_id"]
        assert works(api, key["key"])
        assert works(api, answer["key"])
        last = http.post(f"{KEYS}/{key['key_id']}/rotate", json={"overlap_seconds": 0}).json()
    assert [works(api, one["key"]) for one in (key, answer, last)] == [False, False, True]


def test_kinds_of_keys(api: Api) -> None:
    for asked, told in (("read-only", "READONLY"), ("READONLY", "READONLY"), ("API", "API"), ("admin", "ADMIN")):
        key = made(api, scope=asked)
        with api.http() as http:
            listed = {one["key_id"]: one["scope"] for one in http.get(KEYS).json()["keys"]}
        assert listed[key["key_id"]] == told


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "alias"),
        ({"alias": " "}, "alias"),
        ({"alias": "x" * 101}, "alias"),
        ({"alias": "x", "scope": "owner"}, "scope"),
        ({"alias": "x", "scope": 3}, "scope"),
        ({"alias": "x", "models": "a/b"}, "models"),
        ({"alias": "x", "models": []}, "models"),
        ({"alias": "x", "models": ["a b"]}, "models"),
        ({"alias": "x", "models": ["a[b]"]}, "models"),
        ({"alias": "x", "realtime": "yes"}, "realtime"),
        ({"alias": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"alias": "x", "expires_in_seconds": True}, "expires_in_seconds"),
        ({"alias": "x", "colour": "red"}, "colour"),
        (["alias"], "object"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: Any, field: str) -> None:
    with api.http() as http:
        answer = http.post(KEYS, json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
    assert field in answer.json()["error"]["message"]


def test_nobody_gives_away_more_than_they_have(api: Api) -> None:
    async def narrow() -> str:
        tenant = await api.tenants.create("narrow")
        return (await api.keys.create(tenant.id, "its", (API, ADMIN), models=("a/*", "b/c"))).text

    admin = api.call(narrow())
    with api.http(key=admin) as http:
        for more in ({"models": ["*"]}, {"models": ["b/*"]}, {"models": ["a/b", "b/d"]}, {"realtime": True}):
            answer = http.post(KEYS, json={"alias": "more", **more})
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "authorization_error")
        fine = http.post(KEYS, json={"alias": "less", "models": ["a/x*", "b/c"]})
        assert fine.status_code == 201
        same = http.post(KEYS, json={"alias": "same"}).json()["key_id"]
        listed = {one["key_id"]: one["models"] for one in http.get(KEYS).json()["keys"]}
        assert listed[same] == ["a/*", "b/c"]


def test_nobody_rotates_a_key_that_has_more_than_theirs(api: Api) -> None:
    async def keys() -> tuple[str, str, str]:
        tenant = await api.tenants.create("mixed")
        admin = await api.keys.create(tenant.id, "admin", (API, ADMIN), models=("a/*",))
        wide = await api.keys.create(tenant.id, "wide")
        fast = await api.keys.create(tenant.id, "fast", models=("a/b",), realtime=True)
        return admin.text, wide.id, fast.id

    admin, *others = api.call(keys())
    with api.http(key=admin) as http:
        for other in others:
            assert http.post(f"{KEYS}/{other}/rotate", json={}).status_code == 403
            assert http.delete(f"{KEYS}/{other}").status_code == 204, "ending it gives nobody anything"


def test_the_operator_makes_keys_of_any_tenant(api: Api) -> None:
    tenant = api.call(api.tenants.create("client"))
    with api.http() as http:
        answer = http.post(KEYS, params={"tenant_id": "client"}, json={"alias": "theirs", "realtime": True})
        assert answer.status_code == 201
        assert api.call(api.keys.authenticate(f"Key {answer.json()['key']}")).tenant == tenant.id
        assert [one["alias"] for one in http.get(KEYS, params={"tenant_id": tenant.id}).json()["keys"]] == ["theirs"]
        assert http.get(KEYS, params={"tenant_id": "nobody"}).status_code == 404
        wrong = http.delete(f"{KEYS}/{answer.json()['key_id']}")
        assert wrong.status_code == 404, "it is not one of its own"


def test_realtime_is_a_keys_permission(api: Api) -> None:
    plain = made(api)["key"]
    fast = made(api, realtime=True)["key"]
    asked: dict[str, Any] = {"headers": {"x-fal-queue-priority": "realtime"}, "json": {"prompt": "a fox"}}
    with api.http(key=plain) as http:
        refused = http.post("/queue/test/blank", **asked)
        assert (refused.status_code, refused.json()["error_type"]) == (403, "forbidden")
        assert "realtime" in refused.json()["detail"]
    with api.http(key=fast) as http:
        accepted = http.post("/queue/test/blank", **asked)
        request_id = accepted.json()["request_id"]
    assert api.call(api.requests.get(DEFAULT_TENANT, request_id)).priority == 0
