"""The composition root: where it answers, and how it ends."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from laterna.server.address import Address, url_host
from laterna.tls.certificates import certificate_paths
from tests.e2e.conftest import Server, write_cards

BROKEN = """
import sys
from laterna.{module} import {name}
async def broken(self):
    raise ValueError("a bug")
{name}.{method} = broken
from laterna.cli.main import main
sys.argv = ["laterna", "serve", "--data", sys.argv[1], "--port", "0", "--tls-port", "0"]
main()
"""


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [
        ("dispatch.janitor", "Janitor", "run"),
        ("dispatch.dispatch", "Dispatch", "run"),
        ("fleet.local", "LocalWorker", "keep"),
    ],
)
def test_a_part_that_breaks_ends_the_server_with_the_reason(
    tmp_path: Path, module: str, name: str, method: str
) -> None:
    write_cards(tmp_path)
    code = BROKEN.format(module=module, name=name, method=method)
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "laterna: the server stopped because a part of it broke" in done.stderr
    assert "ValueError('a bug')" in done.stderr
    assert not (tmp_path / "server.json").exists()


def test_another_address_is_certified_and_reached_through_the_proxy(servers: Callable[..., Server]) -> None:
    server = servers("--host", "127.0.0.2")
    address = server.address
    paths = certificate_paths(server.data / "tls")
    trusted = ssl.create_default_context(cafile=str(paths.bundle))
    with httpx2.Client(verify=trusted, trust_env=False) as http:
        assert http.get(f"https://{address.tls}/health").json()["status"]
    proxy = f"http://laterna:{address.intercept_token}@127.0.0.1:{address.intercept_port}"
    with httpx2.Client(proxy=proxy, verify=trusted, trust_env=False) as http:
        for host in ("fal.run", "v3b.fal.media", "fal.ai"):
            assert http.get(f"https://{host}/health").json()["status"]
    assert address.http.startswith("http://127.0.0.2:")


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_all_addresses_of_both_kinds(servers: Callable[..., Server]) -> None:
    server = servers("--host", "::")
    trusted = ssl.create_default_context(cafile=str(certificate_paths(server.data / "tls").bundle))
    with httpx2.Client(verify=trusted, trust_env=False) as http:
        for host in ("localhost", "[::1]", "127.0.0.1"):
            assert http.get(f"https://{host}:{server.address.tls_port}/health").json()["status"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "localhost"),
        ("::", "localhost"),
        ("fd00::7", "[fd00::7]"),
        ("10.1.2.3", "10.1.2.3"),
        ("gpu.example", "gpu.example"),
    ],
)
def test_hosts_in_urls(host: str, shown: str) -> None:
    assert url_host(host) == shown
    address = Address(pid=1, host=host, port=1, tls_port=2, intercept_port=3, intercept_token="t")
    assert (address.http, address.tls) == (f"http://{shown}:1", f"{shown}:2")
