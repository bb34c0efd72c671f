"""Against real servers on loopback addresses: 127.0.0.0/8 is trusted where a test needs to reach one."""

import asyncio
import gzip
import hashlib
import os
import ssl
import time
import zlib
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from laterna.errors import AddressRefused, FetchError, FetchTimeout, FetchTooLarge, WrongContentType
from laterna.media.addresses import IPAddress
from laterna.media.fetch import MAX_REDIRECTS, Fetched, Fetcher, Version
from laterna.tls.certificates import ensure_certificates
from tests.media.sites import page, redirect, site, stream

pytestmark = pytest.mark.anyio

LOOPBACK = (ip_network("127.0.0.0/8"),)
MB = 1_000_000


class Names:
    """A resolver that answers from a script; the last answer of a name is repeated."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): texts for name, texts in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        self.asked.append(host)
        texts = self.answers[host]
        answer = texts.pop(0) if len(texts) > 1 else texts[0]
        return [ip_address(text) for text in answer.split()]


def fetcher(**answers: list[str]) -> Fetcher:
    return Fetcher(allow=LOOPBACK, resolver=Names(**answers))


async def get(
    fetcher: Fetcher, url: str, limit: int = MB, seconds: float = 10, types: tuple[str, ...] | None = None
) -> Fetched:
    return await fetcher.get(url, limit_bytes=limit, timeout_s=seconds, content_types=types)


async def test_fetches_a_page() -> None:
    async with site() as web:
        web.pages["/a%20b?x=1"] = page(b"hello", Content_Type="Text/Plain; charset=utf-8")
        found = await get(Fetcher(allow=LOOPBACK), web.url("/a%20b?x=1#part"), types=("text/plain",))
    assert found == Fetched(content=b"hello", content_type="text/plain", url=web.url("/a%20b?x=1"))


async def test_sends_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.9:1")
    async with site() as web:
        web.pages["/"] = page(status="302 Found", Location="/next", Set_Cookie="session=secret; Path=/")
        web.pages["/next"] = page(b"x")
        await get(fetcher(pictures_example=["127.0.0.1"]), web.url("/", name="pictures.example"))
    names = [[line.split(":")[0].lower() for line in head.splitlines()[1:-1]] for head in web.requests]
    assert names == [["host", "user-agent", "accept", "accept-encoding", "connection"]] * 2
    assert f"Host: pictures.example:{web.port}" in web.requests[0]


NAMES = {
    "localhost": "127.0.0.1",
    "metadata.google.internal": "169.254.169.254",
    "ten.example": "10.0.0.1",
    "six.example": "::1",
    "mapped.example": "::ffff:127.0.0.1",
    "nat64.example": "64:ff9b::7f00:1",
    "sixtofour.example": "2002:7f00:1::",
    "teredo.example": "2001:0:7f00:1::1",
    "aws.example": "fd00:ec2::254",
    "scoped.example": "fe80::1%lo",
    "mixed.example": "93.184.216.34 10.0.0.1",
    "hidden.example": "93.184.216.34 1.1.1.1 8.8.8.8 8.8.4.4 9.9.9.9 127.0.0.1",
}


@pytest.mark.parametrize("host", [*NAMES, "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"])
async def test_private_addresses_are_refused_before_a_byte_is_sent(host: str, tmp_path: Path) -> None:
    guarded = Fetcher(resolver=Names(**{name.replace(".", "_"): [text] for name, text in NAMES.items()}))
    async with site() as web:
        for call in (
            guarded.get(web.url("/", name=host), limit_bytes=9, timeout_s=5),
            guarded.post(web.url("/", name=host), b"{}", {}, timeout_s=5),
            guarded.download(web.url("/", name=host), tmp_path / "never", limit_bytes=9, timeout_s=5),
        ):
            with pytest.raises(AddressRefused):
                await call
    assert web.requests == []
    assert os.listdir(tmp_path) == []


async def test_the_systems_resolver_is_guarded_too() -> None:
    with pytest.raises(AddressRefused):
        await get(Fetcher(), "http://localhost:8000/")
    with pytest.raises(FetchError, match="could not be resolved"):
        await get(Fetcher(), "http://no-such-host.invalid/")


async def test_rebinding_cannot_win() -> None:
    """The name is public when checked and private when asked again: the bytes go where the check looked."""
    names = Names(rebind_example=["127.0.0.2", "127.0.0.1"])
    guarded = Fetcher(allow=(ip_network("127.0.0.2/32"),), resolver=names)
    async with site("127.0.0.2") as public, site("127.0.0.1") as private:
        public.pages["/"] = page(b"public")
        public.pages["/again"] = redirect("/")
        private.pages["/"] = page(b"private")
        assert (await get(guarded, public.url("/", name="rebind.example"))).content == b"public"
        assert names.asked == ["rebind.example"]
        names.answers["rebind.example"] = ["127.0.0.2", "127.0.0.1"]
        with pytest.raises(AddressRefused):  # the redirect is resolved anew, and the new answer is judged
            await get(guarded, public.url("/again", name="rebind.example"))
        assert private.requests == []


async def test_redirects_are_followed_into_public_places_only() -> None:
    guarded = Fetcher(allow=(ip_network("127.0.0.2/32"),), resolver=Names(inner_example=["10.0.0.1"]))
    async with site("127.0.0.2") as web, site("127.0.0.1") as private:
        private.pages["/"] = page(b"private")
        web.pages["/end"] = page(b"end")
        web.pages["/ok"] = redirect("end", "307 Temporary Redirect")
        assert (await get(guarded, web.url("/ok"))).url == web.url("/end")
        for location in (
            private.url("/"),
            "http://inner.example/",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "//0/",
        ):
            web.pages["/to"] = redirect(location)
            with pytest.raises(AddressRefused):
                await get(guarded, web.url("/to"))
        assert private.requests == []


async def test_redirects_end() -> None:
    async with site() as web:
        web.pages["/0"] = page(b"end")
        for number in range(1, MAX_REDIRECTS + 2):
            web.pages[f"/{number}"] = redirect(f"/{number - 1}")
        assert (await get(fetcher(), web.url(f"/{MAX_REDIRECTS}"))).content == b"end"
        with pytest.raises(FetchError, match="redirects more than 5 times"):
            await get(fetcher(), web.url(f"/{MAX_REDIRECTS + 1}"))
        web.pages["/nowhere"] = page(status="302 Found")
        with pytest.raises(FetchError, match="status 302"):
            await get(fetcher(), web.url("/nowhere"))


async def test_a_dead_address_does_not_stop_the_next() -> None:
    async with site("127.0.0.1") as web:
        web.pages["/"] = page(b"alive")
        found = await get(fetcher(two_example=["127.0.0.3 127.0.0.1"]), web.url("/", name="two.example"))
    assert found.content == b"alive"


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "401 Unauthorized", "404 Not Found", "500 Oops"]
)
async def test_only_200_will_do(status: str) -> None:
    async with site() as web:
        web.pages["/?token=secret"] = page(status=status)
        with pytest.raises(FetchError, match=status[:3]) as caught:
            await get(fetcher(), web.url("/?token=secret"))
    assert "secret" not in caught.value.message


async def test_size_is_limited_by_what_is_declared_and_by_what_comes() -> None:
    async with site() as web:
        web.pages["/exact"] = page(b"x" * 1000)
        web.pages["/declared"] = page(b"x" * 1001)
        web.pages["/endless"] = stream(b"x" * 100, 1 << 30)
        assert len((await get(fetcher(), web.url("/exact"), limit=1000)).content) == 1000
        for path in ("/declared", "/endless"):
            with pytest.raises(FetchTooLarge, match="1000 bytes"):
                await get(fetcher(), web.url(path), limit=1000)


async def test_gzip_is_unpacked_and_bombs_do_not_go_off() -> None:
    zipped = gzip.compress(bytes(3 * MB))
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = packer.compress(bytes(200 * MB)) + packer.flush()
    async with site() as web:
        web.pages["/good"] = page(zipped, Content_Encoding="gzip")
        web.pages["/bomb"] = page(bomb, Content_Encoding="gzip")
        web.pages["/cut"] = page(zipped[:-9], Content_Encoding="gzip")
        web.pages["/tail"] = page(zipped + b"tail", Content_Encoding="gzip")
        web.pages["/lie"] = page(b"plain", Content_Encoding="gzip")
        web.pages["/br"] = page(b"plain", Content_Encoding="br")
        assert (await get(fetcher(), web.url("/good"), limit=3 * MB)).content == bytes(3 * MB)
        with pytest.raises(FetchTooLarge):
            await get(fetcher(), web.url("/good"), limit=3 * MB - 1)
        with pytest.raises(FetchTooLarge):
            await get(fetcher(), web.url("/bomb"), limit=3 * MB)
        for path in ("/cut", "/tail", "/lie", "/br"):
            with pytest.raises(FetchError, match=r"gzip"):
                await get(fetcher(), web.url(path), limit=3 * MB)


async def test_time_is_limited_in_all() -> None:
    """Every read is quick, the whole is not; a server that never answers, a name that never resolves."""

    async def never(host: str, port: int) -> Sequence[IPAddress]:
        await asyncio.sleep(60)
        return []

    async with site() as web:
        web.pages["/drip"] = stream(b"x", 10_000, pause_s=0.02)
        web.pages["/mute"] = stream(b"", 1, pause_s=60)
        web.pages["/loop"] = redirect("/drip")
        for path in ("/drip", "/mute", "/loop"):
            began = time.monotonic()
            with pytest.raises(FetchTimeout):
                await get(fetcher(), web.url(path), seconds=0.3)
            assert time.monotonic() - began < 5
    with pytest.raises(FetchTimeout):
        await get(Fetcher(resolver=never), "http://slow.example/", seconds=0.2)


async def test_types_are_limited() -> None:
    async with site() as web:
        web.pages["/html"] = page(b"<b>", Content_Type="text/html")
        web.pages["/none"] = page(b"?")
        for path in ("/html", "/none"):
            with pytest.raises(WrongContentType, match="image/png"):
                await get(fetcher(), web.url(path), types=("image/png", "image/jpeg"))
    with pytest.raises(WrongContentType):
        await get(Fetcher(), "data:text/html,x", types=("image/png",))


async def test_broken_servers_are_typed_errors() -> None:
    async def silence(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")

    async with site() as web:
        web.pages.update({"/silence": silence, "/nonsense": nonsense, "/short": page(b"x", Content_Length="9")})
        for path in web.pages:
            with pytest.raises(FetchError):
                await get(fetcher(), web.url(path))
        port = web.port
    with pytest.raises(FetchError):
        await get(fetcher(), f"http://127.0.0.1:{port}/")


async def test_data_uris_need_no_network() -> None:
    found = await get(Fetcher(), "data:image/png;base64,aGVsbG8=")
    assert found == Fetched(content=b"hello", content_type="image/png", url="data:")
    with pytest.raises(FetchTooLarge):
        await get(Fetcher(), "data:,hello", limit=4)
    with pytest.raises(AddressRefused):
        await Fetcher().post("data:,hello", b"", {}, timeout_s=1)


async def test_download_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    async with site() as web:
        web.pages["/good"] = page(content, Content_Type="application/x")
        web.pages["/short"] = page(content, Content_Length=str(len(content) + 1))
        found = await fetcher().download(web.url("/good"), tmp_path / "good", limit_bytes=3 * MB, timeout_s=9)
        assert found.path.read_bytes() == content
        assert (found.size_bytes, found.content_type) == (len(content), "application/x")
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        for path, limit in (("/short", 3 * MB), ("/good", 10_000)):
            with pytest.raises(FetchError):
                await fetcher().download(web.url(path), tmp_path / "bad", limit_bytes=limit, timeout_s=9)
    assert os.listdir(tmp_path) == ["good"]


async def test_post_sends_the_body_and_follows_nothing() -> None:
    async with site() as web:
        web.pages["/hook"] = page(b"ignored" * 1000, status="201 Created")
        web.pages["/moved"] = redirect("/hook", "308 Permanent Redirect")
        headers = {"Content-Type": "application/json", "X-Fal-Webhook-Signature": "ab"}
        assert await fetcher().post(web.url("/hook"), b'{"a":1}', headers, timeout_s=9) == 201
        assert await fetcher().post(web.url("/moved"), b"{}", {}, timeout_s=9) == 308
    assert web.bodies == [b'{"a":1}', b"{}"]
    assert "X-Fal-Webhook-Signature: ab" in web.requests[0]


async def test_post_is_limited_in_time() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with site() as web:
        web.pages["/"] = never
        with pytest.raises(FetchTimeout):
            await fetcher().post(web.url("/"), b"", {}, timeout_s=0.2)


async def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path) -> None:
    paths = ensure_certificates(tmp_path, ("pictures.example",))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(paths.certificate, paths.key)
    trust = ssl.create_default_context(cafile=str(paths.authority))
    names = Names(pictures_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with site(tls=tls) as web:
        web.pages["/"] = page(b"secure")
        web.pages["/down"] = redirect(web.url("/", name="pictures.example"))
        trusting = Fetcher(allow=LOOPBACK, resolver=names, trust=trust)
        assert (await get(trusting, web.url("/", name="pictures.example", scheme="https"))).content == b"secure"
        with pytest.raises(FetchError, match="ConnectError"):
            await get(trusting, web.url("/", name="other.example", scheme="https"))
        with pytest.raises(FetchError, match="ConnectError"):
            await get(Fetcher(allow=LOOPBACK, resolver=names), web.url("/", name="pictures.example", scheme="https"))
        with pytest.raises(AddressRefused, match="https to http"):
            await get(trusting, web.url("/down", name="pictures.example", scheme="https"))


async def test_a_known_version_is_not_fetched_again(tmp_path: Path) -> None:
    known = Version(etag='"7"', last_modified="Wed, 21 Oct 2015 07:28:00 GMT")
    options = {"limit_bytes": MB, "timeout_s": 10.0}
    async with site() as web:
        fetcher = Fetcher(allow=LOOPBACK)
        web.pages["/a"] = page(b"new", ETag='"8"')
        found = await fetcher.refresh(web.url("/a"), tmp_path / "a", known, **options)  # type: ignore[arg-type]
        assert found is not None
        assert found.version == Version(etag='"8"')
        web.pages["/a"] = page(status="304 Not Modified")
        assert await fetcher.refresh(web.url("/a"), tmp_path / "a", known, **options) is None  # type: ignore[arg-type]
        with pytest.raises(FetchError, match="304"):
            await fetcher.download(web.url("/a"), tmp_path / "b", **options)  # type: ignore[arg-type]
    assert found.path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]
    asked = web.requests[0]
    assert 'If-None-Match: "7"' in asked
    assert "If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT" in asked
    assert "If-None-Match" not in web.requests[2]
