"""Every trick is refused by everything that a user's URL goes through, and not one byte arrives inside."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from laterna.errors import AddressRefused, LaternaError
from laterna.media.addresses import IPAddress
from laterna.media.fetch import Fetcher, Version
from tests.media.sites import Site, page, redirect, site
from tests.media.tricks import NAMES, TRICKS, WRITTEN, aimed

pytestmark = pytest.mark.anyio


async def hostile(host: str, port: int) -> Sequence[IPAddress]:
    """A name server that leads inside, whatever it is asked."""
    return [ip_address(text) for text in NAMES.get(host, "127.0.0.1").split()]


async def refused(call: Any) -> bool:
    try:
        await call
    except AddressRefused:
        return True
    except LaternaError:
        return False
    return False


async def test_there_are_many_and_none_twice() -> None:
    assert len(set(TRICKS)) == len(TRICKS) >= 200


async def test_none_is_fetched_downloaded_or_posted_to(tmp_path: Path) -> None:
    guarded = Fetcher(resolver=hostile)
    async with site() as inside:
        inside.pages["/"] = page(b"inside")
        passed = [url for url in aimed(inside.port) if not await refused(guarded.get(url, limit_bytes=9, timeout_s=5))]
        passed += [url for url in aimed(inside.port) if not await refused(guarded.post(url, b"{}", {}, timeout_s=5))]
        for url in aimed(inside.port):
            download = guarded.download(url, tmp_path / "never", limit_bytes=9, timeout_s=5)
            passed += [] if await refused(download) else [url]
    assert passed == []
    assert inside.requests == []
    assert os.listdir(tmp_path) == []


async def test_none_is_followed_from_a_public_place() -> None:
    """Whatever a Location header says: a trick, or a path of the same place where it is no absolute address."""
    guarded = Fetcher(allow=(ip_network("127.0.0.2/32"),), resolver=hostile)
    passed = []
    async with site("127.0.0.1") as inside, site("127.0.0.2") as public:
        inside.pages["/"] = page(b"inside")
        for url in aimed(inside.port):
            if not url.isprintable():
                continue  # what no header can hold
            public.pages["/"] = redirect(url.replace("127.0.0.2", "127.0.0.3"))
            if not await stays_outside(guarded, public):
                passed.append(url)
    assert passed == []
    assert inside.requests == []


async def stays_outside(guarded: Fetcher, public: Site) -> bool:
    """Whether the redirect is refused, or leads to another page of the same place, which is not there."""
    try:
        await guarded.get(public.url("/"), limit_bytes=9, timeout_s=5)
    except AddressRefused:
        return True
    except LaternaError as error:
        return f"{public.host}:{public.port}" in error.message
    return False


async def test_the_systems_own_resolver_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real resolving code over a name server that is hostile, IPv6 zones and all."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [_entry(text, port) for text in NAMES[host].split()]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with site() as inside:
        urls = [f"http://{name}:{inside.port}/" for name in NAMES]
        passed = [url for url in urls if not await refused(Fetcher().get(url, limit_bytes=9, timeout_s=5))]
    assert passed == []
    assert inside.requests == []


def _entry(text: str, port: int) -> tuple[Any, ...]:
    """As the C library gives it: a zone comes with the address."""
    if ":" in text:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (text, port, 0, 1 if "%" in text else 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port))


class Rebinding:
    """A name whose answer changes with every question: a public address first, then one inside."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ip_address(text) for text in answer.split()]


@pytest.mark.parametrize("inside_answer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.2 127.0.0.1", "10.0.0.1"])
async def test_a_name_that_changes_between_two_hops_is_judged_each_time(inside_answer: str) -> None:
    guarded = Fetcher(allow=(ip_network("127.0.0.2/32"),), resolver=Rebinding("127.0.0.2", inside_answer))
    async with site("127.0.0.1") as inside, site("127.0.0.2") as public:
        public.pages["/"] = redirect("/again")
        assert await refused(guarded.get(public.url("/", name="rebinds.example"), limit_bytes=9, timeout_s=5))
    assert inside.requests == []


@pytest.mark.parametrize("value", ['"é"', '"\ufffd"', '"a\tb"', '"' + "x" * 20_000 + '"', "\x7f", ""])
async def test_what_a_server_said_of_its_version_is_sent_back_or_left_out(value: str, tmp_path: Path) -> None:
    """A validator that another request cannot carry must not break it."""
    async with site() as web:
        web.pages["/"] = page(b"new")
        guarded = Fetcher(allow=(ip_network("127.0.0.0/8"),))
        found = await guarded.refresh(
            web.url("/"), tmp_path / "x", Version(etag=value, last_modified=value), limit_bytes=99, timeout_s=9
        )
    assert found is not None
    assert found.path.read_bytes() == b"new"


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://[x]/", "//[", "http://a:b/", "\x01", "é", "http://\ufffd/"]
)
async def test_a_location_that_cannot_be_read_is_a_typed_error(location: str) -> None:
    async with site() as web:
        web.pages["/"] = redirect(location)
        with pytest.raises(LaternaError):
            await Fetcher(allow=(ip_network("127.0.0.0/8"),)).get(web.url("/"), limit_bytes=9, timeout_s=9)


def test_what_is_wrong_by_its_writing_is_refused_when_it_is_sent_as_a_webhook() -> None:
    from laterna.api.asked import webhook
    from laterna.errors import InvalidInput

    for trick in WRITTEN:
        url = trick.replace("{port}", "8000")
        try:
            webhook(url, "query", "fal_webhook")
        except InvalidInput:
            continue
        assert url.startswith("http://"), "an address that is plain; where it leads is judged when it is delivered"
