"""What the page asks for: the caller's own, in pages, and nothing of anybody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from laterna.tenants.caller import READ
from laterna.tenants.keys import DEFAULT_TENANT
from tests.api.conftest import Api


def get(api: Api, path: str, key: str | None = "") -> Any:
    with api.http(key=key) as http:
        answer = http.get(f"/api/page/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["session", "speeds", "loras", "pictures", "requests", "requests/x"])
def test_nothing_is_told_without_a_key(api: Api, path: str) -> None:
    with api.http(key=None) as http:
        assert http.get(f"/api/page/{path}").status_code == 401


def test_the_session_says_who_it_is(api: Api) -> None:
    mine, other = get(api, "session"), get(api, "session", api.stranger())
    assert (mine["operator"], other["operator"]) == (True, False)
    assert mine["tenant"] != other["tenant"]
    assert "ADMIN" in mine["scopes"]


def test_an_estimate_prices_what_the_form_says(api: Api) -> None:
    with api.http() as http:
        answer = http.post("/api/page/estimate/test/blank", json={"prompt": "x", "num_images": 3})
        wrong = http.post("/api/page/estimate/test/blank", json={"prompt": "x", "num_images": 99})
    assert answer.json()["price"] == {"amount": 0.003, "currency": "USD"}
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", "num_images"])


def test_loras_to_pick_are_the_operators_and_those_that_were_used(api: Api) -> None:
    folder = api.settings.loras
    folder.mkdir(exist_ok=True)
    for name in ("ink.safetensors", "no name.safetensors", "ink.txt"):
        (folder / name).write_bytes(b"")
    api.done("laterna/sprite", prompt="with one", loras=[{"path": "owner/used"}])
    assert get(api, "loras")["loras"] == ["laterna/ink", "owner/used"]
    assert get(api, "loras", api.stranger())["loras"] == ["laterna/ink"]


def test_the_gallery_has_every_picture_once_newest_first(api: Api) -> None:
    made = [api.done(prompt=f"a wall of {n}", num_images=2) for n in range(3)]
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = get(api, f"pictures?words=WALL+of&limit=2&cursor={cursor}")
        seen += page["pictures"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [one["request_id"] for one in seen[::2]] == made[::-1]
    assert len({one["key"] for one in seen}) == 6
    assert {one["index"] for one in seen[:2]} == {0, 1}
    first = seen[0]
    assert (first["asked"]["prompt"], first["endpoint_id"], first["width"]) == ("a wall of 2", "test/blank", 64)
    with api.http(key=None) as http:
        assert http.get(first["url"]).status_code == 200


def restricted(api: Api, prompt: str, decision: str) -> str:
    """A request whose pictures only its owner may read."""
    said = {"x_fal_object_lifecycle_preference": json.dumps({"initial_acl": {"default": decision}})}
    with api.http(**said) as http:
        request = str(http.post("/queue/test/blank", json={"prompt": prompt}).json()["request_id"])
    api.finish(api.take(request))
    return request


@pytest.mark.parametrize(("decision", "refusal"), [("hide", 404), ("forbid", 403)])
def test_pictures_that_others_may_not_read_are_shown_to_their_owner(api: Api, decision: str, refusal: int) -> None:
    request = restricted(api, f"a secret {decision}", decision)
    [picture] = get(api, f"pictures?words=secret+{decision}")["pictures"]
    [output] = get(api, f"requests/{request}")["outputs"]
    assert output["shown_url"] == picture["shown_url"], "it stays the same for a while"
    other = restricted(api, "another", decision)
    [foreign] = get(api, f"requests/{other}")["outputs"]
    token = foreign["shown_url"].partition("?")[2]
    with api.http(key=None) as nobody, api.http(key=api.stranger()) as stranger:
        assert nobody.get(picture["shown_url"]).status_code == 200
        for url in (picture["url"], f"{picture['url']}?{token}", f"{picture['url']}?token=x"):
            assert nobody.get(url).status_code == refusal
        assert stranger.get(picture["url"]).status_code == refusal


def test_a_picture_that_all_may_read_is_shown_from_its_own_address(api: Api) -> None:
    api.done(prompt="no secret at all")
    [picture] = get(api, "pictures?words=no+secret")["pictures"]
    assert picture["shown_url"] == picture["url"]


def test_the_address_of_a_restricted_picture_is_good_while_its_key_is(api: Api) -> None:
    restricted(api, "a key of its own", "hide")

    async def made() -> tuple[str, str]:
        key = await api.keys.create(DEFAULT_TENANT, "looks", (READ,))
        return key.id, key.text

    key_id, text = api.call(made())
    [picture] = get(api, "pictures?words=key+of+its", text)["pictures"]
    with api.http(key=None) as nobody:
        assert nobody.get(picture["shown_url"]).status_code == 200
        api.call(api.keys.revoke(DEFAULT_TENANT, key_id))
        assert nobody.get(picture["shown_url"]).status_code == 404


def test_the_gallery_is_filtered(api: Api) -> None:
    api.done(prompt="filtered: 100% zebra")
    api.done("test/blank/deep/down", prompt="filtered: okapi")
    assert len(get(api, "pictures?words=filtered")["pictures"]) == 2
    assert len(get(api, "pictures?words=100%25")["pictures"]) == 1
    assert get(api, "pictures?words=seed")["pictures"] == [], "only prompts are searched"
    deep = get(api, "pictures?words=filtered&endpoint_id=test/blank/deep/down")["pictures"]
    assert [one["asked"]["prompt"] for one in deep] == ["filtered: okapi"]
    moment = deep[0]["created_at"].replace("+", "%2B")
    assert len(get(api, f"pictures?words=filtered&since={moment}")["pictures"]) == 1
    assert len(get(api, f"pictures?words=filtered&until={moment}")["pictures"]) == 1


def test_what_is_deleted_handed_over_or_anothers_is_not_in_the_gallery(api: Api) -> None:
    gone = api.done(prompt="vanishing one")
    api.done(prompt="vanishing two", sync_mode=True)
    assert len(get(api, "pictures?words=vanishing")["pictures"]) == 1
    assert get(api, "pictures?words=vanishing", api.stranger())["pictures"] == []
    with api.http() as http:
        assert http.delete(f"/platform/v1/models/requests/{gone}/payloads").status_code == 200
    assert get(api, "pictures?words=vanishing")["pictures"] == []


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "limit=201", "since=today", "since=2026-01-01T00:00:00"])
def test_wrong_queries_are_named(api: Api, query: str) -> None:
    with api.http() as http:
        answer = http.get(f"/api/page/pictures?{query}")
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", query.partition("=")[0]])


def test_requests_are_listed_and_told(api: Api) -> None:
    request = api.submit(prompt="a lynx", seed=7)
    listed = get(api, "requests?state=queued")["requests"]
    assert [(one["request_id"], one["prompt"]) for one in listed] == [(request, "a lynx")]
    one = get(api, f"requests/{request}")
    assert (one["position"], one["eta"]["seconds"], one["outputs"]) == (0, 1.25, [])
    assert one["input"] == {"prompt": "a lynx", "seed": 7}
    api.finish(api.take(request))
    one = get(api, f"requests/{request}")
    assert (one["outcome"], one["eta"], one["outputs"][0]["seed"]) == ("ok", None, 7)
    with api.http(key=api.stranger()) as http:
        assert http.get(f"/api/page/requests/{request}").status_code == 404
        assert http.get("/api/page/requests?state=lost").status_code == 422
