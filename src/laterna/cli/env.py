"""`laterna env` and `laterna exec`: what points every stock client at this server, for a shell or for one command.

fal's Python client always uses TLS, so it gets the TLS address and the bundle of certificates; uploads go to hosts that
are written into the clients and are reached only through the intercepting proxy. OpenAI's clients take any address, and
Replicate's too, but the latter take outputs for files only where their addresses are https.
What the shell had before stays in force for every other host: its proxy and the certificates that it trusts.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from laterna.config import Settings
from laterna.errors import ConfigError, Unavailable
from laterna.server.address import Address, find_address, url_host
from laterna.server.embedded import held
from laterna.tls.certificates import certificate_paths, joined
from laterna.tls.upstream import own, parse, user_name

LOCAL = ("localhost", "127.0.0.1", "::1")


def env(settings: Settings, *, intercept: bool) -> int:
    """Print `export NAME=value` lines."""
    for name, value in variables(settings, find_address(settings), os.environ, intercept=intercept).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def exec_(settings: Settings, command: list[str], *, intercept: bool) -> int:
    """Run the command with the variables set; returns its exit status."""
    find_address(settings)
    with held(settings.data):
        found = variables(settings, find_address(settings), os.environ, intercept=intercept)
        try:
            return subprocess.run(command, env={**os.environ, **found}, check=False).returncode
        except FileNotFoundError as error:
            raise Unavailable(f"no such command: {command[0]!r}") from error


def variables(settings: Settings, address: Address, before: Mapping[str, str], *, intercept: bool) -> dict[str, str]:
    """The clients' own environment variables. Host names without a scheme are what fal's client pastes into URLs.

    Args:
        before: the shell's environment.

    Raises ConfigError where its proxy is none that the intercepting one can go through.
    """
    key = settings.key_file.read_text().strip()
    paths = certificate_paths(settings.data / "tls")
    bundle = str(joined(paths.bundle, paths.authority, _path(before, "SSL_CERT_FILE")))
    found = {
        "FAL_KEY": key,
        "FAL_RUN_HOST": address.tls,
        "FAL_QUEUE_RUN_HOST": f"{address.tls}/queue",
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,  # of `requests`, by which receivers of webhooks fetch the keys
        "NODE_EXTRA_CA_CERTS": str(joined(paths.authority, paths.authority, _path(before, "NODE_EXTRA_CA_CERTS"))),
        "OPENAI_BASE_URL": f"{address.http}/openai/v1",
        "OPENAI_API_KEY": key,
        "REPLICATE_BASE_URL": f"https://{address.tls}/replicate",
        "REPLICATE_API_TOKEN": key,
        "LATERNA_URL": address.http,
    }
    # Many clients prefer the lower-case names.
    without = _without_proxy(before, address)
    found |= {"NO_PROXY": without, "no_proxy": without}
    if intercept:
        user = user_name(_upstream(before))
        proxy = f"http://{user}:{address.intercept_token}@127.0.0.1:{address.intercept_port}"
        found |= {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NODE_USE_ENV_PROXY": "1"}
    return found


def _path(before: Mapping[str, str], name: str) -> Path | None:
    return Path(before[name]) if before.get(name) else None


def _exempt(before: Mapping[str, str]) -> list[str]:
    """The hosts that the shell reaches without a proxy."""
    text = before.get("no_proxy") or before.get("NO_PROXY") or ""
    return [name.strip() for name in text.split(",") if name.strip()]


def _without_proxy(before: Mapping[str, str], address: Address) -> str:
    """Those and this server; not `*`, which would keep fal's hosts from the intercepting proxy."""
    names = (*(name for name in _exempt(before) if name != "*"), *LOCAL, url_host(address.host))
    return ",".join(dict.fromkeys(names))


def _upstream(before: Mapping[str, str]) -> str | None:
    """The shell's proxy for https, checked."""
    if "*" in _exempt(before):
        return None
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    name = next((name for name in names if before.get(name)), None)
    proxy = None if name is None else own(before[name])
    if proxy is not None:
        try:
            parse(proxy)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}; mend it, unset it, or use --no-intercept") from error
    return proxy
