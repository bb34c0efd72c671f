"""What `laterna env` and `laterna exec` leave in force of what the shell had, and what `laterna certs` leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from laterna.cli.env import variables
from laterna.errors import ConfigError
from laterna.server.address import read_address
from laterna.tls.certificates import certificate_paths
from laterna.tls.upstream import carried
from tests.e2e.conftest import Server, laterna

PROXY = "http://me:s3cret@proxy.example:3128"


def inside(server: Server, **before: Any) -> dict[str, str]:
    """The environment of a command under `laterna exec`."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    done = laterna(server.data, "exec", "--", "python3", "-c", code, **before)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_what_the_shell_had_stays_in_force_for_other_hosts(servers: Callable[..., Server], tmp_path: Path) -> None:
    server = servers()
    corporate = tmp_path / "corporate.pem"
    corporate.write_bytes(b"# the company's authority\n" + Path(certifi.where()).read_bytes()[:4000])
    ours = certificate_paths(server.data / "tls").authority.read_bytes()
    before = {"SSL_CERT_FILE": str(corporate), "NODE_EXTRA_CA_CERTS": str(corporate), "HTTPS_PROXY": PROXY}
    found = inside(server, **before, no_proxy="intern.example")
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        trusted = Path(found[name]).read_bytes()
        assert b"the company's authority" in trusted
        assert ours in trusted
    assert corporate.read_bytes().startswith(b"# the company")
    assert ours not in corporate.read_bytes()
    assert carried(found["HTTPS_PROXY"].partition("//")[2].partition(":")[0]) == PROXY
    assert {"intern.example", "localhost", "127.0.0.1"} <= set(found["NO_PROXY"].split(","))
    again = inside(server, **{name: found[name] for name in (*before, "https_proxy", "no_proxy")})
    assert {name: again[name] for name in before} == {name: found[name] for name in before}


def test_a_shell_that_had_nothing_gets_the_plain_bundle(servers: Callable[..., Server]) -> None:
    server = servers()
    address = read_address(server.data / "server.json")
    assert address is not None
    found = variables(server.settings, address, {}, intercept=True)
    paths = certificate_paths(server.data / "tls")
    assert (found["SSL_CERT_FILE"], found["NODE_EXTRA_CA_CERTS"]) == (str(paths.bundle), str(paths.authority))
    assert found["HTTPS_PROXY"].startswith("http://laterna:")
    gone = variables(server.settings, address, {"SSL_CERT_FILE": "/none.pem", "NO_PROXY": "*"}, intercept=True)
    assert gone["SSL_CERT_FILE"] == str(paths.bundle)
    assert "*" not in gone["NO_PROXY"]
    assert "HTTPS_PROXY" not in variables(server.settings, address, {"HTTPS_PROXY": PROXY}, intercept=False)
    with pytest.raises(ConfigError, match=r"ALL_PROXY: ftp://proxy.example is none of http, .*--no-intercept") as bad:
        variables(server.settings, address, {"ALL_PROXY": "ftp://me:s3cret@proxy.example"}, intercept=True)
    assert "s3cret" not in str(bad.value)


@pytest.mark.slow
def test_certs_and_run_make_no_new_authority_for_fewer_names(servers: Callable[..., Server], tmp_path: Path) -> None:
    server = servers("--set", "names=gpu.example")
    authority = certificate_paths(server.data / "tls").authority
    before = authority.read_bytes()
    assert laterna(server.data, "certs").returncode == 0
    assert authority.read_bytes() == before
    assert laterna(server.data, "certs", LATERNA_NAMES="other.example").returncode == 0
    assert authority.read_bytes() == before, "a running server's certificates were replaced"
    assert server.stop() == 0
    assert laterna(server.data, "run", "test/blank", "x", "-o", str(tmp_path / "o.png")).returncode == 0
    assert authority.read_bytes() == before, "an authority that serves was thrown away"
