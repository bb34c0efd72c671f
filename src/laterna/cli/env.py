"""`laterna env` and `laterna exec`: what points every stock client at this server, for a shell or for one command.

fal's Python client always uses TLS, so it gets the TLS address and the bundle of certificates; uploads go to hosts that
are written into the clients and are reached only through the intercepting proxy. OpenAI's clients take any address.
"""

from __future__ import annotations

import os
import shlex
import subprocess

from laterna.config import Settings
from laterna.errors import Unavailable
from laterna.server.address import Address, read_address
from laterna.tls.certificates import certificate_paths


def env(settings: Settings, *, intercept: bool) -> int:
    """Print `export NAME=value` lines."""
    for name, value in variables(settings, _address(settings), intercept=intercept).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def exec_(settings: Settings, command: list[str], *, intercept: bool) -> int:
    """Run the command with the variables set; returns its exit status."""
    environment = {**os.environ, **variables(settings, _address(settings), intercept=intercept)}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except FileNotFoundError as error:
        raise Unavailable(f"no such command: {command[0]!r}") from error


def variables(settings: Settings, address: Address, *, intercept: bool) -> dict[str, str]:
    """The clients' own environment variables. Host names without a scheme are what fal's client pastes into URLs."""
    key = settings.key_file.read_text().strip()
    paths = certificate_paths(settings.data / "tls")
    found = {
        "FAL_KEY": key,
        "FAL_RUN_HOST": address.tls,
        "FAL_QUEUE_RUN_HOST": f"{address.tls}/queue",
        "SSL_CERT_FILE": str(paths.bundle),
        "NODE_EXTRA_CA_CERTS": str(paths.authority),
        "OPENAI_BASE_URL": f"{address.http}/openai/v1",
        "OPENAI_API_KEY": key,
        "LATERNA_URL": address.http,
    }
    if intercept:
        proxy = f"http://laterna:{address.intercept_token}@127.0.0.1:{address.intercept_port}"
        found |= {"HTTPS_PROXY": proxy, "NODE_USE_ENV_PROXY": "1", "NO_PROXY": "localhost,127.0.0.1"}
        found |= {"https_proxy": proxy, "no_proxy": found["NO_PROXY"]}  # many clients prefer these
    return found


def _address(settings: Settings) -> Address:
    address = read_address(settings.address_file)
    if address is None:
        raise Unavailable(f"no server runs on {settings.data}; start one with `laterna serve --data {settings.data}`")
    return address
