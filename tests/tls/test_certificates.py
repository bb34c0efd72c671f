"""The certificates, as the clients that must believe them see them: Python's ssl, httpx, openssl and node."""

import asyncio
import os
import socket
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import certifi
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from laterna.api.hosts import FAL_HOSTS
from laterna.clock import ManualClock
from laterna.errors import ConfigError
from laterna.tls import certificates
from laterna.tls.certificates import VALID, CertificatePaths, ensure_certificates
from tests.media.sites import page, site
from tests.tools import tool

SERVED = (*FAL_HOSTS, "localhost", "127.0.0.1")
OUTSIDE = ("example.com", "fal.com", "evil-fal.run", "192.168.0.1")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> CertificatePaths:
    return ensure_certificates(tmp_path_factory.mktemp("tls"), tuple(FAL_HOSTS))


@pytest.fixture(scope="module")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> CertificatePaths:
    """What a thief of the authority's key could make: a certificate for other names, signed by it."""
    folder = tmp_path_factory.mktemp("rogue")
    signed = certificates._server
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "_server", lambda k, ak, a, names, now: signed(k, ak, a, (*names, *OUTSIDE), now))
        return ensure_certificates(folder, tuple(FAL_HOSTS))


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def identity(paths: CertificatePaths) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in (paths.authority, paths.certificate, paths.key))


@asynccontextmanager
async def tls_server(paths: CertificatePaths) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths.certificate, paths.key)

    async with site(tls=context) as web:
        web.pages["/"] = page(b"ok", Connection="close")
        yield web.port


def handshake(port: int, trusted: Path, name: str) -> None:
    """Raises ssl.SSLError when Python's ssl does not believe that the server is `name`."""
    context = ssl.create_default_context(cafile=str(trusted))
    with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname=name):
        pass


async def refused(port: int, trusted: Path, name: str) -> bool:
    try:
        await asyncio.to_thread(handshake, port, trusted, name)
    except ssl.SSLCertVerificationError:
        return True
    return False


@pytest.mark.anyio
async def test_python_believes_the_served_names_alone(paths: CertificatePaths, rogue: CertificatePaths) -> None:
    async with tls_server(paths) as port:
        assert [name for name in SERVED if await refused(port, paths.bundle, name)] == []
        assert [name for name in OUTSIDE if not await refused(port, paths.bundle, name)] == []
        assert await refused(port, Path(certifi.where()), "localhost")
    async with tls_server(rogue) as port:
        # One forbidden name spoils the whole certificate, and the constraint is the reason.
        assert [name for name in (*SERVED, *OUTSIDE) if not await refused(port, rogue.authority, name)] == []
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            await asyncio.to_thread(handshake, port, rogue.authority, "localhost")


@pytest.mark.anyio
async def test_httpx_believes_by_environment(paths: CertificatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(paths.bundle))
    async with tls_server(paths) as port, httpx.AsyncClient() as client:
        assert (await client.get(f"https://127.0.0.1:{port}/")).text == "ok"
        url, extensions = f"https://127.0.0.1:{port}/", {"sni_hostname": "queue.fal.run"}
        assert (await client.get(url, extensions=extensions)).text == "ok"
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            await client.get(url, extensions={"sni_hostname": "example.com"})


def test_openssl_believes_the_served_names_alone(paths: CertificatePaths, rogue: CertificatePaths) -> None:
    def verify(paths: CertificatePaths, name: str) -> subprocess.CompletedProcess[str]:
        kind = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
        command = [
            tool("openssl"),
            "verify",
            "-x509_strict",
            "-CAfile",
            str(paths.authority),
            kind,
            name,
            str(paths.certificate),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert [name for name in SERVED if verify(paths, name).returncode != 0] == []
    assert [name for name in OUTSIDE if verify(paths, name).returncode == 0] == []
    assert "permitted subtree violation" in verify(rogue, "example.com").stderr


NODE = """
const https = require("https");
const [port, ...names] = process.argv.slice(1);
const ask = (name) => new Promise((done) => {
  const options = { host: "127.0.0.1", port, servername: /^[0-9.]+$/.test(name) ? "" : name, headers: { host: name } };
  if (!options.servername) options.host = name;
  https.get(options, (answer) => { answer.resume(); answer.on("end", () => done("ok")); })
    .on("error", (error) => done(error.message));
});
(async () => { for (const name of names) console.log(await ask(name)); })();
"""


@pytest.mark.anyio
async def test_node_believes_the_served_names_alone(paths: CertificatePaths, rogue: CertificatePaths) -> None:
    async def ask(server: CertificatePaths, trusted: Path | None, *names: str) -> list[str]:
        environ = {"PATH": os.environ["PATH"]} | ({"NODE_EXTRA_CA_CERTS": str(trusted)} if trusted else {})
        async with tls_server(server) as port:
            node = await asyncio.create_subprocess_exec(
                tool("node"), "-e", NODE, str(port), *names, env=environ, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await asyncio.wait_for(node.communicate(), 60)
        return out.decode().splitlines()

    assert await ask(paths, paths.authority, *SERVED) == ["ok"] * len(SERVED)
    outside = await ask(paths, paths.authority, *OUTSIDE[:3])
    assert [answer for answer in outside if not answer.startswith("Hostname/IP does not match")] == []
    assert await ask(paths, None, "localhost") == ["unable to verify the first certificate"]
    assert await ask(rogue, rogue.authority, "localhost", "example.com") == ["permitted subtree violation"] * 2


def test_the_authority_is_constrained_and_its_key_is_nowhere(paths: CertificatePaths) -> None:
    authority, server = load(paths.authority), load(paths.certificate)
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    permitted = constraints.value.permitted_subtrees
    assert constraints.critical
    assert permitted is not None
    assert {str(item.value).removesuffix("/32") for item in permitted} == set(SERVED)
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=825)

    for path in paths.authority.parent.iterdir():
        content = path.read_bytes()
        if b"PRIVATE KEY" in content:
            key = serialization.load_pem_private_key(content, None)
            assert key.public_key() != authority.public_key()
            assert content.count(b"BEGIN") == 1


def test_files_and_modes(paths: CertificatePaths) -> None:
    folder = paths.authority.parent
    assert stat.S_IMODE(paths.key.stat().st_mode) == 0o600
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "bundle.pem", "certificate.pem", "key.pem", "lock"}
    assert (
        paths.bundle.read_bytes()
        == Path(certifi.where()).read_bytes() + b"\n# Laterna\n" + paths.authority.read_bytes()
    )


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    ensure_certificates(tmp_path / "data" / "tls", ())
    assert stat.S_IMODE((tmp_path / "data" / "tls").stat().st_mode) == 0o700


def test_they_are_kept_while_they_serve_and_made_anew_when_not(tmp_path: Path) -> None:
    clock = ManualClock()
    first = identity(ensure_certificates(tmp_path, ("gpu.example",), clock=clock))
    clock.advance((VALID - timedelta(days=32)).total_seconds())
    assert identity(ensure_certificates(tmp_path, ("GPU.example",), clock=clock)) == first
    clock.advance(timedelta(days=2).total_seconds())
    second = identity(ensure_certificates(tmp_path, ("gpu.example",), clock=clock))
    third = identity(ensure_certificates(tmp_path, ("gpu.example", "192.168.1.7", "fd00::7"), clock=clock))
    assert len({*first, *second, *third}) == 9
    names = load(tmp_path / "certificate.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"192.168.1.7", "fd00::7", "gpu.example"} <= {str(name.value) for name in names}


@pytest.mark.parametrize("name", ["ca.pem", "certificate.pem", "key.pem"])
@pytest.mark.parametrize("damage", ["missing", "empty", "foreign", "truncated"])
def test_damage_heals_at_the_next_start(tmp_path: Path, name: str, damage: str) -> None:
    paths = ensure_certificates(tmp_path / "a", ())
    victim = tmp_path / "a" / name
    if damage == "missing":
        victim.unlink()
    elif damage == "foreign":
        ensure_certificates(tmp_path / "b", ())
        victim.write_bytes((tmp_path / "b" / name).read_bytes())
    else:
        victim.write_bytes(b"" if damage == "empty" else victim.read_bytes()[:100])
    ensure_certificates(tmp_path / "a", ())
    load(paths.certificate).verify_directly_issued_by(load(paths.authority))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(paths.certificate, paths.key)


def test_an_exposed_key_is_replaced(tmp_path: Path) -> None:
    paths = ensure_certificates(tmp_path, ())
    before = identity(paths)
    paths.key.chmod(0o644)
    assert not set(before) & set(identity(ensure_certificates(tmp_path, ())))


def test_a_damaged_bundle_is_rewritten_for_the_same_authority(tmp_path: Path) -> None:
    paths = ensure_certificates(tmp_path, ())
    before = identity(paths)
    paths.bundle.write_bytes(b"")
    assert identity(ensure_certificates(tmp_path, ())) == before
    assert paths.bundle.read_bytes().endswith(before[0])


@pytest.mark.parametrize(
    "name", ["*.example.com", "a b", "", "-x", "http://x", "x.", "1.2.3", "x/y", "ä.example", "10.0.0.0/8"]
)
def test_names_that_cannot_be_certified(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="names"):
        ensure_certificates(tmp_path, (name,))
    assert list(tmp_path.iterdir()) == []
