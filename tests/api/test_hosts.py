"""Hosts, prefixes, forwarded headers: which surface a request reaches and which addresses its answer names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from laterna.api.hosts import FAL_HOSTS, FAL_ORIGIN, Hosts, Origin
from laterna.config import Settings
from laterna.errors import ConfigError

Reached = tuple[str, Origin]


def reach(
    host: str | None,
    path: str = "/a/b",
    *,
    scheme: str = "http",
    client: str = "127.0.0.1",
    server: str = "127.0.0.1",
    settings: Settings | None = None,
    **headers: str,
) -> Reached | int:
    """The path and origin that the application sees, or the status of a refusal."""
    seen: list[Reached] = []
    sent: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], scope["laterna.origin"]))

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if host is not None:
        raw.append((b"host", host.encode()))
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": raw,
        "client": (client, 5),
        "server": (server, 8000),
    }
    asyncio.run(Hosts(application, settings or Settings())(scope, receive, send))
    return seen[0] if seen else int(sent[0]["status"])


def path_of(reached: Reached | int) -> str:
    assert not isinstance(reached, int), reached
    return reached[0]


def origin(reached: Reached | int) -> Origin:
    assert not isinstance(reached, int), reached
    return reached[1]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8443", "LOCALHOST:80"])
def test_our_own_names_at_any_port(host: str) -> None:
    found = origin(reach(host))
    assert found.site == f"http://{host.lower()}"
    assert found.queue == f"http://{host.lower()}/queue"
    assert found.cdn == f"http://{host.lower()}/cdn"


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "evil-localhost", "localhost@evil.example",
     "queue.evil.com",
     "127.0.0.1.nip.io", "localhost:port", "local host",
     "fal.run.evil.example", "a" * 10_000, "localhost/x", "10.0.0.9"],
)  # fmt: skip
def test_other_hosts_are_refused(host: str | None) -> None:
    assert reach(host) == 421


def test_further_names_and_the_address_that_was_dialled() -> None:
    settings = Settings(names=("media.example",), host="0.0.0.0")
    assert origin(reach("media.example", settings=settings)).site == "http://media.example"
    assert path_of(reach("queue.media.example", settings=settings)) == "/queue/a/b"
    assert origin(reach("192.168.7.2:8000", server="192.168.7.2", settings=settings)).site == "http://192.168.7.2:8000"
    assert reach("192.168.7.3:8000", server="192.168.7.2", settings=settings) == 421


@pytest.mark.parametrize("host", FAL_HOSTS)
def test_fals_own_hosts_reach_their_surface_and_are_named_in_answers(host: str) -> None:
    reached = reach(host, "/x/y", scheme="https")
    assert path_of(reached) == f"{FAL_HOSTS[host]}/x/y"
    assert origin(reached) == FAL_ORIGIN
    assert path_of(reach(f"{host}:443", "/x/y", scheme="https")) == f"{FAL_HOSTS[host]}/x/y"


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("queue.localhost:8443", "/fal-ai/flux/dev", "/queue/fal-ai/flux/dev"),
        ("rest.localhost", "/tokens/", "/rest/tokens"),
        ("v3.localhost", "/files/upload", "/cdn/files/upload"),
        ("api.localhost", "/v1/models", "/platform/v1/models"),
        ("ws.localhost", "/a/b", "/a/b"),
        ("queue.localhost", "/cdn/files/x", "/cdn/files/x"),
        ("queue.localhost", "/health", "/health"),
        ("queue.localhost", "/queue/a/b", "/queue/a/b"),
        ("queue.localhost", "/queuelike/a", "/queue/queuelike/a"),
    ],
)
def test_hosts_become_paths(host: str, path: str, expected: str) -> None:
    assert path_of(reach(host, path)) == expected


def test_a_surface_with_a_host_of_its_own_is_named_without_a_prefix() -> None:
    found = origin(reach("queue.localhost:8443", scheme="https"))
    assert found.queue == "https://queue.localhost:8443"
    assert found.cdn == "https://queue.localhost:8443/cdn"


@pytest.mark.parametrize(("path", "expected"), [("/a/b/", "/a/b"), ("/a/b", "/a/b"), ("/", "/"), ("//a/b//", "/a/b")])
def test_both_slash_forms_are_one(path: str, expected: str) -> None:
    assert path_of(reach("localhost", path)) == expected


FORWARDED = {"x_forwarded_proto": "https", "x_forwarded_host": "media.example", "x_forwarded_prefix": "/laterna/"}


def test_forwarded_headers_count_from_trusted_proxies_alone() -> None:
    trusting = Settings(names=("media.example",), trusted_proxies=("10.0.0.0/8",))
    found = origin(reach("localhost", client="10.2.3.4", settings=trusting, **FORWARDED))
    assert found.queue == "https://media.example/laterna/queue"
    for client, settings in (("10.2.3.4", Settings()), ("11.0.0.1", trusting)):
        assert origin(reach("localhost", client=client, settings=settings, **FORWARDED)).site == "http://localhost"


def test_a_trusted_proxy_cannot_name_a_foreign_host() -> None:
    trusting = Settings(trusted_proxies=("10.0.0.1",))
    assert reach("localhost", client="10.0.0.1", settings=trusting, x_forwarded_host="evil.example") == 421


def test_a_wrong_proxy_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies: 'proxy.local'"):
        Hosts(lambda *_: None, Settings(trusted_proxies=("proxy.local",)))  # type: ignore[arg-type]
