"""Uploads by every client's way, and downloads that can run nothing."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.api.downloads import Span, parse_range
from laterna.media.objects import new_key
from laterna.tenants.keys import DEFAULT_TENANT
from laterna.tenants.tokens import Tokens
from tests.api.conftest import Api, picture, running

PNG = picture()


def upload(api: Api, data: bytes, name: str = "a.png", **headers: str) -> str:
    with api.http(x_fal_file_name=name, **headers) as http:
        answer = http.post("/cdn/files/upload", content=data)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_url"])


def get(url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.request(method, url, headers=given, trust_env=False)


def test_pythons_upload_token_then_bytes(api: Api) -> None:
    with api.http() as http:
        said = http.post("/rest/storage/auth/token?storage_type=fal-cdn-v3", json={}).json()
    assert said["token_type"] == "Bearer"
    assert said["base_url"] == f"{api.url}/cdn"
    expires = datetime.datetime.fromisoformat(said["expires_at"])
    assert expires.tzinfo is not None
    assert expires > datetime.datetime.now(datetime.UTC)
    with api.http(key=None, authorization=f"Bearer {said['token']}", x_fal_file_name="my fox.png") as http:
        url = http.post("/cdn/files/upload", content=PNG, headers={"content-type": "image/png"}).json()["access_url"]
        assert http.post("/test/blank", json={"prompt": "x"}).status_code == 401
    assert url.startswith(f"{api.url}/cdn/files/")
    assert url.endswith("/my_fox.png")
    answer = get(url)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")


def test_the_older_initiate_and_put(api: Api) -> None:
    with api.http() as http:
        said = http.post("/rest/storage/upload/initiate?storage_type=gcs", json={"file_name": "a.png"}).json()
        assert said["upload_url"].startswith(api.url)
        assert http.put(said["upload_url"], content=PNG).status_code == 200
    assert get(said["file_url"]).content == PNG


def test_javascripts_initiate_and_anonymous_put(api: Api) -> None:
    with api.http(x_fal_target_url="https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3") as http:
        said = http.post("/api/fal/proxy", json={"content_type": "image/png", "file_name": "b.png"}).json()
    assert httpx2.put(said["upload_url"], content=PNG, trust_env=False).json()["file_url"] == said["file_url"]
    assert httpx2.put(said["upload_url"], content=b"another", trust_env=False).status_code == 409
    assert get(said["file_url"]).content == PNG


def test_an_upload_address_opens_its_own_file_alone(api: Api) -> None:
    with api.http() as http:
        first, second = (http.post("/rest/storage/upload/initiate", json={"file_name": "a"}).json() for _ in range(2))
    stolen = first["file_url"] + "?" + second["upload_url"].partition("?")[2]
    for url in (stolen, first["file_url"], first["file_url"] + "?upload_token=nonsense"):
        assert get(url, "PUT").status_code == 401
    assert get(first["file_url"]).status_code == 404


def parts_of(http: httpx2.Client, base: str, data: bytes, size: int) -> list[dict[str, Any]]:
    """Send in parts, last first, and return what completing takes; both ways of reading an etag must agree."""
    sent = []
    for number in reversed(range(1, -(-len(data) // size) + 1)):
        answer = http.put(f"{base}/{number}", content=data[(number - 1) * size : number * size])
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"partNumber": number, "etag": answer.headers["etag"].strip('"')}
        sent.append({"partNumber": number, "etag": answer.headers["etag"]})
    return sent


def test_pythons_parts_in_any_order(api: Api) -> None:
    data = PNG + bytes(range(256)) * 5000
    with api.http() as http:
        token = http.post("/rest/storage/auth/token", json={}).json()["token"]
    with api.http(key=None, authorization=f"Bearer {token}", x_fal_file_name="big.png") as http:
        said = http.post("/cdn/files/upload/multipart").json()
        base = f"{said['access_url']}/multipart/{said['uploadId']}"
        sent = parts_of(http, base, data, 300_000)
        assert http.post(f"{base}/complete", json={"parts": sent}).status_code == 200
    answer = get(said["access_url"])
    assert (answer.content, answer.headers["content-type"]) == (data, "image/png")


def test_javascripts_parts_without_a_key(api: Api) -> None:
    with api.http() as http:
        said = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "v.png"}).json()
    with api.http(key=None) as http:
        sent = parts_of(http, said["upload_url"], PNG * 3, 100)
        for _ in range(2):  # asked again by who did not hear the answer
            assert http.post(f"{said['upload_url']}/complete", json={"parts": sent}).status_code == 200
    assert get(said["file_url"]).content == PNG * 3


def test_parts_that_were_not_sent_are_named(api: Api) -> None:
    with api.http() as http:
        said = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "v"}).json()
        good = parts_of(http, said["upload_url"], b"abc", 3)
        for parts in ([*good, {"partNumber": 2, "etag": "0" * 32}], [], [{"partNumber": "1"}], "x", None, [7]):
            answer = http.post(f"{said['upload_url']}/complete", json={"parts": parts})
            assert answer.status_code == 422, parts
        assert http.put(f"{said['upload_url']}/0", content=b"x").status_code == 422
        other = said["upload_url"].replace(said["upload_url"].split("/files/")[1][:32], new_key())
        assert http.put(f"{other}/1", content=b"x").status_code == 401
    assert get(said["file_url"]).status_code == 404


def test_uploads_need_a_key(api: Api) -> None:
    with api.http(key=None) as http:
        for path in (
            "/rest/storage/auth/token", "/rest/storage/upload/initiate", "/rest/storage/upload/initiate-multipart",
            "/cdn/files/upload", "/cdn/files/upload/multipart",
        ):  # fmt: skip
            assert http.post(path, content=b"{}").status_code == 401


def test_a_revoked_keys_tokens_are_void(api: Api) -> None:
    key = api.call(api.keys.create(DEFAULT_TENANT, "leaked"))
    with api.http(key=key.text) as http:
        parts = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "v"}).json()["upload_url"]
        whole = http.post("/rest/storage/upload/initiate", json={"file_name": "v"}).json()["upload_url"]
        bearer = http.post("/rest/storage/auth/token").json()["token"]
        app = http.post("/rest/tokens", json={"allowed_apps": ["test/blank"]}).json()

    def tried() -> list[int]:
        with api.http(key=None) as http:
            answers = [
                http.put(f"{parts}/1", content=b"x"),
                http.put(whole, content=b"x"),
                http.post("/cdn/files/upload", content=b"x", headers={"Authorization": f"Bearer {bearer}"}),
                http.post(f"/queue/test/blank?fal_jwt_token={app}", json={"prompt": "x"}),
            ]
        return [answer.status_code for answer in answers]

    assert 401 not in tried()
    api.call(api.keys.revoke(DEFAULT_TENANT, key.id))
    assert tried() == [401] * 4


def test_a_large_upload_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "data", upload_mb=0.01) as api:
        with api.http() as http:
            assert http.post("/cdn/files/upload", content=b"x" * 10_001).status_code == 413
            chunks = http.post("/cdn/files/upload", content=iter([b"x" * 6000] * 2))
            assert (chunks.status_code, chunks.json()["error_type"]) == (413, "payload_too_large")
            said = http.post("/rest/storage/upload/initiate-multipart", json={}).json()
            assert http.put(f"{said['upload_url']}/1", content=b"x" * 8000).status_code == 200
            assert http.put(f"{said['upload_url']}/2", content=b"y" * 8000).status_code == 413
            assert http.post("/cdn/files/upload", content=b"x" * 10_000).status_code == 200
        assert len([path for path in api.settings.media.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("data", "served", "how"),
    [
        (PNG, "image/png", "inline"),
        (b"<html><script>alert(1)</script></html>", "text/html", "attachment"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml", "attachment"),
        (b"%PDF-1.7", "application/pdf", "attachment"),
        (b"plain words", "application/octet-stream", "attachment"),
        (b"", "application/octet-stream", "attachment"),
    ],
)
def test_what_is_served_can_run_nothing(api: Api, data: bytes, served: str, how: str) -> None:
    answer = get(upload(api, data, "x.png", content_type="image/png"))
    assert (answer.content, answer.headers["content-type"].partition(";")[0]) == (data, served)
    assert answer.headers["content-disposition"].startswith(how)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("..", "file.bin"),
        ('x"; evil="1.png', "x_evil_1.png"),
        ("C:\\secret\\cat.jpg", "cat.jpg"),
        ("a" * 300 + ".png", "a" * 96 + ".png"),
    ],
)
def test_names_are_harmless(api: Api, given: str, shown: str) -> None:
    url = upload(api, PNG, given)
    assert url.rpartition("/")[2] == shown
    assert f'filename="{shown}"' in get(url).headers["content-disposition"]


def test_any_name_or_none_reads_the_same_file(api: Api) -> None:
    url = upload(api, PNG)
    base = url.rpartition("/")[0]
    for form in (base, f"{base}/", f"{base}/other.html"):
        assert get(form).content == PNG
        assert get(form).headers["content-type"] == "image/png"


@pytest.mark.parametrize("key", ["upload", "..", "%2e%2e", "a" * 32, "A" * 32, "parts"])
def test_what_is_no_file(api: Api, key: str) -> None:
    assert get(f"{api.url}/cdn/files/{key}/x").status_code in (404, 405)
    assert get(f"{api.url}/cdn/files/{new_key()}").json()["error_type"] == "file_not_found"


def test_a_deleted_file_is_gone_at_once(api: Api) -> None:
    url = upload(api, PNG)
    api.call(api.files.delete("default", url.split("/")[-2]))
    assert get(url).status_code == 404


def test_lifetimes_are_kept(api: Api) -> None:
    life = {"x_fal_object_lifecycle": '{"expiration_duration_seconds": 60}'}
    url = upload(api, PNG, **life)
    with api.http(**life) as http:
        one = http.post("/rest/storage/upload/initiate", json={"file_name": "a"}).json()
        many = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "a"}).json()
    httpx2.put(one["upload_url"], content=PNG, trust_env=False)
    with api.http(key=None) as http:
        http.post(f"{many['upload_url']}/complete", json={"parts": parts_of(http, many["upload_url"], PNG, 50)})
    for address in (url, one["file_url"], many["file_url"]):
        record = api.call(api.files.get(address.split("/")[-2]))
        assert record.expires_us is not None
        assert 50 < (record.expires_us - record.created_us) / 1e6 <= 61


def seen(api: Api, url: str, *keys: str | None) -> list[int]:
    """The status that the holder of each key gets."""
    found = []
    for key in keys:
        with api.http(key=key) as http:
            found.append(http.get(url).status_code)
    return found


def acl(default: str, *rules: tuple[str, str]) -> dict[str, str]:
    listed = [{"user": user, "decision": decision} for user, decision in rules]
    return {"x_fal_object_lifecycle": json.dumps({"initial_acl": {"default": default, "rules": listed}})}


def test_the_owner_says_who_may_read_a_file(api: Api) -> None:
    friend, foe = api.stranger(), api.stranger()
    friend_id, foe_id = (api.call(api.keys.authenticate(f"Key {key}")).tenant for key in (friend, foe))
    readers = (api.key, friend, foe, None, "not:a-key")
    for headers, expected in (
        ({}, [200, 200, 200, 200, 200]),
        (acl("allow"), [200, 200, 200, 200, 200]),
        (acl("allow", (foe_id, "hide")), [200, 200, 404, 200, 200]),
        (acl("forbid"), [200, 403, 403, 403, 403]),
        (acl("hide"), [200, 404, 404, 404, 404]),
        (acl("forbid", (friend_id, "allow"), (foe_id, "hide")), [200, 200, 404, 403, 403]),
        (acl("hide", (friend_id, "allow"), (friend_id, "hide"), ("default", "hide")), [200, 200, 404, 404, 404]),
    ):
        assert seen(api, upload(api, PNG, **headers), *readers) == expected, headers
    hidden = upload(api, PNG, **acl("hide"))
    nothing = hidden.replace(hidden.split("/")[-2], new_key())
    with api.http(key=foe) as http:
        answers = [http.get(url) for url in (hidden, nothing)]
    assert answers[0].content == answers[1].content


def test_every_way_of_uploading_keeps_the_list(api: Api) -> None:
    headers = acl("forbid")
    with api.http(**headers) as http:
        one = http.post("/rest/storage/upload/initiate", json={"file_name": "a"}).json()
        many = http.post("/rest/storage/upload/initiate-multipart", json={"file_name": "a"}).json()
        begun = http.post("/cdn/files/upload/multipart").json()
    httpx2.put(one["upload_url"], content=PNG, trust_env=False)
    raw = f"{begun['access_url']}/multipart/{begun['uploadId']}"
    with api.http(key=None) as http:
        for address in (many["upload_url"], raw):
            http.post(f"{address}/complete", json={"parts": parts_of(http, address, PNG, 50)})
    for url in (one["file_url"], many["file_url"], begun["access_url"]):
        assert seen(api, url, api.key, None) == [200, 403]
    assert httpx2.put(one["upload_url"] + "x", content=PNG, trust_env=False).status_code in (401, 409, 422)


def test_heads_ranges_and_etags(api: Api) -> None:
    data = bytes(range(256)) * 8
    url = upload(api, data)
    head = get(url, "HEAD")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "2048", b"")
    assert head.headers["accept-ranges"] == "bytes"
    part = get(url, range="bytes=10-19")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, data[10:20], "bytes 10-19/2048")
    assert get(url, range="bytes=-5").content == data[-5:]
    assert get(url, range="bytes=2000-9999").content == data[2000:]
    assert (get(url, range="bytes=0-").status_code, get(url, range="bytes=0-").content) == (206, data)
    outside = get(url, range="bytes=2048-")
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */2048")
    for whole in ("bytes=0-1,4-5", "lines=1-2", "bytes=", "bytes=a-b"):
        assert (get(url, range=whole).status_code, get(url, range=whole).content) == (200, data)
    etag = head.headers["etag"]
    assert get(url, if_none_match=etag).status_code == 304
    assert get(url, range="bytes=0-1", if_range=etag).status_code == 206
    assert get(url, range="bytes=0-1", if_range='"other"').status_code == 200


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_ranges_stay_inside(size: int, first: int, last: int) -> None:
    for text in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        try:
            span = parse_range(text, size)
        except ValueError:
            continue
        assert span is not None
        assert 0 <= span.start < span.stop <= size
    assert parse_range("bytes=1-0,3-4", size) is None
    if size:
        assert parse_range("bytes=0-", size) == Span(start=0, stop=size)


def test_tokens_of_another_folder_are_void(api: Api, tmp_path: Path) -> None:
    forged = Tokens.open(tmp_path, api.services.clock)
    caller = api.call(api.keys.authenticate(f"Key {api.key}"))
    with api.http(key=None, authorization=f"Bearer {forged.mint(caller, 'upload', 60)}") as http:
        assert http.post("/cdn/files/upload", content=PNG).status_code == 401
