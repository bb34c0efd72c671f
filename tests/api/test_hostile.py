"""Names that would be paths, values that would be headers: through every door, and none becomes one."""

from __future__ import annotations

import http.client
import re
from urllib.parse import quote

import pytest
from starlette.routing import Route

from laterna.api.app import routes
from tests.api.conftest import WAIT_SECONDS, Api, picture

ESCAPES = [
    "../key", "../../key", "..%2fkey", "%2e%2e%2fkey", "..%5ckey", "..;/key", "..%c0%afkey", "%2fetc%2fpasswd",
    "key%00.png", "aa/../../laterna.db", "..", "%ff%fe", "C:%5ckey",
]  # fmt: skip


def raw(api: Api, method: str, path: str, **headers: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """The answer to a path that no client library has tidied."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=WAIT_SECONDS)
    try:
        connection.putrequest(method, path)
        for name, value in {"authorization": f"Key {api.key}", "content-length": "0", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheaders()
    finally:
        connection.close()


def test_no_id_is_a_path(api: Api) -> None:
    """In the place of each parameter of each route: the answer never holds what lies in a file."""
    secret, opened = api.key.partition(":")[2].encode(), []
    for route in routes(api.services):
        if not isinstance(route, Route):
            continue
        for name in re.findall(r"{(\w+)", route.path):
            for escape in ESCAPES:
                path = re.sub(rf"{{{name}(:\w+)?}}", lambda _, to=escape: to, route.path)  # type: ignore[misc]
                path = re.sub(r"{\w+(:\w+)?}", "1", path)
                method = "GET" if "GET" in (route.methods or ()) else next(iter(route.methods or ()))
                status, body, _ = raw(api, method, quote(path, safe="/%.;:\\~"))
                if status >= 500 or secret in body or b"root:" in body or b"SQLite format" in body:
                    opened.append((method, path, status))
    assert opened == []


@pytest.mark.parametrize(
    "name", [*ESCAPES, "a\r\nX-Evil: 1", "a\nb", 'a"; filename="b', "é\u202e.png", "a" * 5000, "", ".png"]
)
def test_a_files_name_is_no_path_and_no_header(api: Api, name: str) -> None:
    with api.http() as client:
        asked = client.post("/rest/storage/upload/initiate", json={"file_name": name, "content_type": "image/png"})
        assert asked.status_code == 200
        given = asked.json()
        assert client.put(given["upload_url"], content=picture()).status_code == 200
        read = client.get(given["file_url"])
    assert read.content == picture()
    assert "x-evil" not in read.headers
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,104}", given["file_name"])
    assert given["file_name"] not in (".", "..")
    kept = {path.resolve() for path in api.settings.data.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(api.settings.data.resolve()) for path in kept)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "\r\n\r\n<b>", "\x00", "é\u0085b"])
def test_what_a_client_says_of_itself_is_no_header(api: Api, value: str) -> None:
    """Through the fields and queries that answers' headers are made of."""
    with api.http() as client:
        sent = client.post(f"/queue/test/blank?fal_webhook={quote(value)}", json={"prompt": value})
        made = client.post("/replicate/v1/files", files={"content": (value, b"x", "text/plain")})
        told = client.get("/replicate/v1/files", params={"cursor": value})
        for answer in (sent, made, told, client.get(f"/nothing/{quote(value)}"), client.get("/", params={"a": value})):
            assert "x-evil" not in answer.headers
            assert answer.status_code < 500


@pytest.mark.parametrize(
    "host",
    ["localhost:1\r\nX-Evil: 1", "localhost/../evil", "localhost@evil", "evil", "localhost:99999999", "[::1", ""],
)
def test_a_host_is_ours_or_refused(api: Api, host: str) -> None:
    status, body, headers = raw(api, "GET", "/health", host=host.replace("\r\n", " "))
    assert status in (400, 421) or (status == 200 and b"evil" not in body)
    assert "x-evil" not in {name.lower() for name, _ in headers}


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_clear_http_is_refused_and_ends_the_connection(api: Api, sent: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", api.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert said == b"" or said.split(b" ")[1][:1] == b"4", said[:200]
    assert said.count(b"HTTP/1.1 ") <= 1, "what follows was taken for another request"
