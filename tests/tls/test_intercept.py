"""The proxy between real clients and a real TLS server, with no address of fal's ever looked up."""

import asyncio
import base64
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from laterna.api.hosts import FAL_HOSTS
from laterna.tls.certificates import CertificatePaths, ensure_certificates
from laterna.tls.intercept import MAX_HEAD, Intercept, Limits
from laterna.tls.upstream import user_name
from tests.media.sites import page, site
from tests.tls.socks import socks
from tests.tools import node

pytestmark = pytest.mark.anyio

TOKEN = "a-token:with/odd=characters"


@dataclass(frozen=True, kw_only=True)
class Setup:
    proxy: str  # URL with the token
    port: int  # of the proxy
    tls_port: int
    paths: CertificatePaths

    @property
    def environ(self) -> dict[str, str]:
        """What `laterna env --intercept` sets, and nothing else that could matter."""
        return {
            "PATH": os.environ["PATH"],
            "FAL_KEY": "the-key",
            "HTTPS_PROXY": self.proxy,
            "SSL_CERT_FILE": str(self.paths.bundle),
            "NODE_EXTRA_CA_CERTS": str(self.paths.authority),
            "NODE_USE_ENV_PROXY": "1",
        }


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    key = request.headers.get("authorization")
    return JSONResponse({"host": request.headers["host"], "path": request.url.path, "key": key, "bytes": len(body)})


async def stream(request: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {json.dumps({'step': number})}\n\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(events(), media_type="text/event-stream")


async def token(request: Request) -> JSONResponse:
    expires = "2100-01-01T00:00:00+00:00"
    return JSONResponse(
        {"token": "t", "token_type": "Bearer", "base_url": "https://v3.fal.media", "expires_at": expires}
    )


async def upload(request: Request) -> Response:
    content = await request.body()
    return JSONResponse({"access_url": f"https://{request.headers['host']}/{len(content)}"})


APP = Starlette(
    routes=[
        Route("/storage/auth/token", token, methods=["POST"]),
        Route("/files/upload", upload, methods=["POST"]),
        Route("/{path:path}/stream", stream, methods=["POST"]),
        Route("/{path:path}", echo, methods=["GET", "POST"]),
    ]
)


@asynccontextmanager
async def serving(folder: Path, limits: Limits | None = None) -> AsyncIterator[Setup]:
    paths = ensure_certificates(folder, tuple(FAL_HOSTS))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            APP, ssl_certfile=paths.certificate, ssl_keyfile=paths.key, log_level="error", lifespan="off"
        )
        server = uvicorn.Server(config)
        serve = asyncio.create_task(server.serve(sockets=[listener]))
        tls_port = listener.getsockname()[1]
        proxy = Intercept(token=TOKEN, names=FAL_HOSTS, target=("127.0.0.1", tls_port), limits=limits)
        port = await proxy.start()
        password = httpx.URL("http://x").copy_with(password=TOKEN).userinfo.decode().removeprefix(":")
        yield Setup(proxy=f"http://laterna:{password}@127.0.0.1:{port}", port=port, tls_port=tls_port, paths=paths)
        await proxy.close()
        server.should_exit = True
        await serve


async def run(setup: Setup, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=setup.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def say(port: int, head: bytes, *, more: bytes = b"") -> bytes:
    """What the proxy answers to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = b""
    try:
        if more:
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.write(more)
        return answer + await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def connect(authority: str, *, user: str = "anybody", password: str | None = TOKEN, scheme: str = "Basic") -> bytes:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    line = f"Proxy-Authorization: {scheme} {credentials}\r\n" if password is not None else ""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{line}\r\n".encode()


async def test_httpx_reaches_every_name_of_fal(tmp_path: Path) -> None:
    async with serving(tmp_path) as setup:
        context = ssl.create_default_context(cafile=str(setup.paths.bundle))
        async with httpx.AsyncClient(proxy=setup.proxy, verify=context) as client:
            for name in (*FAL_HOSTS, "FAL.run"):
                answer = (await client.post(f"https://{name}/a/b", content=bytes(3_000_000))).json()
                assert answer == {"host": name.lower(), "path": "/a/b", "key": None, "bytes": 3_000_000}


CLIENT = """
import fal_client
print(fal_client.run("owner/model", arguments={"prompt": "a"}))
print([event["step"] for event in fal_client.stream("owner/model", arguments={})])
print(fal_client.upload(b"x" * 500_000, "image/png"))
"""


async def test_the_stock_python_client_runs_streams_and_uploads(tmp_path: Path) -> None:
    async with serving(tmp_path) as setup:
        out = await run(setup, sys.executable, "-W", "ignore", "-c", CLIENT)
    ran, streamed, uploaded = out.splitlines()
    assert "'host': 'fal.run', 'path': '/owner/model', 'key': 'Key the-key'" in ran
    assert streamed == "[0, 1, 2]"
    assert uploaded == "https://v3.fal.media/500000"


FETCH = """
const ask = async (name) => (await (await fetch(`https://${name}/a/b`, { method: "POST", body: "12345" })).json());
(async () => { for (const name of process.argv.slice(1)) console.log(JSON.stringify(await ask(name))); })();
"""


async def test_nodes_fetch_comes_here_by_environment(tmp_path: Path) -> None:
    newer = node((22, 21))  # older ones ignore NODE_USE_ENV_PROXY
    async with serving(tmp_path) as setup:
        out = await run(setup, newer, "-e", FETCH, *FAL_HOSTS)
    assert [json.loads(line)["host"] for line in out.splitlines()] == list(FAL_HOSTS)
    assert all(json.loads(line)["bytes"] == 5 for line in out.splitlines())


async def test_a_side_that_was_reset_ends_its_tunnel_quietly() -> None:
    """The end of one side is passed on to another that is gone, which its transport does not know yet."""
    over = asyncio.StreamReader()
    over.feed_eof()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        writers, peers = [], []
        for _ in range(2):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writers.append(writer)
            peers.append(listener.accept()[0])
        for peer in peers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        proxy = Intercept(token=TOKEN, names=FAL_HOSTS, target=("127.0.0.1", 1))
        await proxy._relay((over, writers[0]), (over, writers[1]))
        for writer in writers:
            writer.close()


async def test_other_hosts_pass_through_untouched(tmp_path: Path) -> None:
    async with serving(tmp_path) as setup, site() as web:
        web.pages["/"] = page(b"other", Connection="close")
        request = b"GET / HTTP/1.1\r\nHost: other.example\r\nX-Odd:  kept \r\n\r\n"
        for host in ("127.0.0.1", "LOCALHOST"):
            answer = await say(setup.port, connect(f"{host}:{web.port}"), more=request)
            assert answer.startswith(b"HTTP/1.1 200 Connection Established\r\n\r\nHTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"other")
    assert [head.encode() for head in web.requests] == [request, request]


async def test_fals_names_are_mapped_on_443_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as setup:
        proxy = Intercept(token=TOKEN, names=FAL_HOSTS, target=("127.0.0.1", setup.tls_port))
        for name in (*FAL_HOSTS, "FAL.RUN", "queue.fal.run."):
            assert proxy._route(f"{name}:443") == ("127.0.0.1", setup.tls_port)
        for authority in ("fal.run:80", "example.com:443", "evil-fal.run:443", "fal.run.example:443", "x.fal.run:443"):
            assert proxy._route(authority)[0] == authority.partition(":")[0]


@pytest.mark.parametrize(
    "head",
    [
        connect("fal.run:443", password=None),
        connect("fal.run:443", password="wrong"),
        connect("fal.run:443", password=""),
        connect("fal.run:443", password=TOKEN[:-1]),
        connect("fal.run:443", password="töken"),
        connect("fal.run:443", scheme="Bearer"),
        connect("fal.run:443").replace(b"Basic ", b"Basic *"),
        connect("fal.run:443").replace(b"Proxy-Authorization", b"Authorization"),
        b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ],
)
async def test_nobody_passes_without_the_token(tmp_path: Path, head: bytes) -> None:
    async with serving(tmp_path) as setup:
        answer = await say(setup.port, head)
    assert answer.startswith(b"HTTP/1.1 407 ")
    assert b'\r\nProxy-Authenticate: Basic realm="laterna"\r\n' in answer


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "connect", "TRACE"])
async def test_only_connect_is_served(tmp_path: Path, method: str) -> None:
    async with serving(tmp_path) as setup:
        answer = await say(setup.port, connect("fal.run:443").replace(b"CONNECT", method.encode()))
    assert answer.startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(
    "authority", ["fal.run", "fal.run:0", "fal.run:65536", ":443", "a/b:443", "u@fal.run:443", "[::1:443"]
)
async def test_odd_targets_are_bad_requests(tmp_path: Path, authority: str) -> None:
    async with serving(tmp_path) as setup:
        assert (await say(setup.port, connect(authority))).startswith(b"HTTP/1.1 400 ")
        assert (await say(setup.port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_what_cannot_be_reached_is_a_bad_gateway(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with serving(tmp_path) as setup:
        for authority in (f"127.0.0.1:{port}", "no-such-host.invalid:443"):
            assert (await say(setup.port, connect(authority))).startswith(b"HTTP/1.1 502 ")


async def corporate(proxy: str) -> AsyncIterator[tuple[int, list[str]]]:
    """Another proxy: its port, and the heads that it was sent; it lets `laterna:s3cret` pass."""
    heads: list[str] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if proxy in heads[-1] else b"HTTP/1.1 407 No\r\n\r\n")
        if proxy in heads[-1]:
            writer.write(b"beyond:" + await reader.read(100))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads
    server.close()


async def test_other_hosts_are_reached_by_the_proxy_that_the_client_had_before(tmp_path: Path) -> None:
    secret = base64.b64encode(b"me:s3:cret").decode()
    async with serving(tmp_path) as setup, asynccontextmanager(corporate)(f"Basic {secret}") as (port, heads):
        user = user_name(f"http://me:s3%3Acret@127.0.0.1:{port}")
        answer = await say(setup.port, connect("far.invalid:443", user=user), more=b"hello")
        assert answer == b"HTTP/1.1 200 Connection Established\r\n\r\nbeyond:hello"
        refused = user_name(f"http://me:wrong@127.0.0.1:{port}")
        assert (await say(setup.port, connect("far.invalid:443", user=refused))).startswith(b"HTTP/1.1 502 ")
        through = [line.partition(" HTTP")[0] for line in heads]
        assert through == ["CONNECT far.invalid:443", "CONNECT far.invalid:443"]
        context = ssl.create_default_context(cafile=str(setup.paths.bundle))
        proxy = setup.proxy.replace("//laterna:", f"//{user}:")
        async with httpx.AsyncClient(proxy=proxy, verify=context) as client:
            assert (await client.get("https://queue.fal.run/x")).json()["host"] == "queue.fal.run"
        assert len(heads) == 2


@pytest.mark.parametrize(
    ("scheme", "host", "found"),
    [
        ("socks5h", "far.invalid", "far.invalid"),
        ("socks5", "localhost", "127.0.0.1"),
        ("socks4a", "far.invalid", "far.invalid"),
        ("socks4", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_other_hosts_are_reached_by_a_socks_proxy_too(tmp_path: Path, scheme: str, host: str, found: str) -> None:
    async with serving(tmp_path) as setup, socks("me", "s3:cret") as (port, asked):
        user = user_name(f"{scheme}://me:s3%3Acret@127.0.0.1:{port}")
        answer = await say(setup.port, connect(f"{host}:443", user=user), more=b"hello")
        assert answer == b"HTTP/1.1 200 Connection Established\r\n\r\nbeyond:hello"
        assert asked == [f"{found}:443"]
        wrong = user_name(f"{scheme}://you:no@127.0.0.1:{port}")
        assert (await say(setup.port, connect(f"{host}:443", user=wrong))).startswith(b"HTTP/1.1 502 ")
        silent = user_name(f"{scheme}://127.0.0.1:1")
        assert (await say(setup.port, connect(f"{host}:443", user=silent))).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("proxy", ["socks6://127.0.0.1:1", "http://", "http://127.0.0.1:99999", "http://[::1"])
async def test_a_proxy_that_is_none_is_a_bad_gateway(tmp_path: Path, proxy: str) -> None:
    async with serving(tmp_path) as setup:
        answer = await say(setup.port, connect("far.invalid:443", user=user_name(proxy)))
        assert answer.startswith(b"HTTP/1.1 502 ")


async def test_heads_are_limited_in_size_and_time(tmp_path: Path) -> None:
    async with serving(tmp_path, Limits(head_s=0.3)) as setup:
        long = connect("fal.run:443").replace(b"Host:", b"X: " + b"x" * (3 * MAX_HEAD) + b"\r\nHost:")
        assert (await say(setup.port, long))[:13] in (b"HTTP/1.1 431 ", b"reset")
        assert (await say(setup.port, b"CONNECT fal.run:443 HTTP/1.1\r\n")).startswith(b"HTTP/1.1 408 ")
        assert (await say(setup.port, b"")).startswith(b"HTTP/1.1 408 ")


async def test_silent_tunnels_are_closed_and_busy_ones_are_not(tmp_path: Path) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        for _ in range(8):
            writer.write(b"x")
            await asyncio.sleep(0.1)

    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with serving(tmp_path, Limits(idle_s=0.4)) as setup, site() as web:
        web.pages.update({"/busy": trickle, "/silent": silence})
        for path, body in (("/busy", b"x" * 8), ("/silent", b"")):
            head = connect(f"127.0.0.1:{web.port}")
            answer = await say(setup.port, head, more=f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert answer == b"HTTP/1.1 200 Connection Established\r\n\r\n" + body


async def test_closing_cuts_tunnels_and_frees_the_port(tmp_path: Path) -> None:
    async with site() as web:
        proxy = Intercept(token=TOKEN, names=FAL_HOSTS, target=("127.0.0.1", 1))
        port = await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(connect(f"127.0.0.1:{web.port}"))
        await reader.readuntil(b"\r\n\r\n")
        await proxy.close()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_it_listens_on_loopback_alone() -> None:
    proxy = Intercept(token=TOKEN, names=FAL_HOSTS, target=("127.0.0.1", 1))
    await proxy.start()
    assert proxy._server is not None
    assert [item.getsockname()[0] for item in proxy._server.sockets] == ["127.0.0.1"]
    await proxy.close()
