"""Where a URL given by a user points: parsed strictly, in one spelling, or refused.

Only one way to write a host is accepted, so that what is checked is what is connected to. `dial` judges the addresses
behind a name; here stands what can be refused before any name is resolved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin, urlsplit

from laterna.errors import AddressRefused

MAX_LENGTH = 8192  # characters of a URL
DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_SAFE = "/?%:@!$&'()*+,;=~-._[]|{}\"`^"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One absolute http(s) URL, taken apart."""

    scheme: str  # "http" or "https"
    host: str  # lower-case ASCII name, dotted IPv4, or IPv6 without brackets
    port: int  # 80, 443 or 1024 to 65535
    resource: str  # path and query as sent on the wire, ASCII, starting with "/"

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.resource}"

    def __str__(self) -> str:
        """The URL without its query, which may hold secrets: for messages and logs."""
        return f"{self.scheme}://{self.authority}{self.resource.partition('?')[0]}"

    def redirected(self, location: str) -> Target:
        """The target of a Location header, judged from scratch. Raises AddressRefused for https -> http."""
        try:
            joined = urljoin(self.url, location)
        except ValueError as error:
            raise AddressRefused(f"{self} redirects to {location[:80]!r}, which is no readable URL: {error}") from error
        target = parse(joined)
        if self.scheme == "https" and target.scheme == "http":
            raise AddressRefused(f"{self} redirects from https to http; use a URL that stays on https")
        return target


def parse(url: str) -> Target:
    """Take a URL apart. Raises AddressRefused for everything but a plain absolute http(s) URL."""
    if len(url) > MAX_LENGTH:
        raise AddressRefused(f"the URL is {len(url)} characters long; at most {MAX_LENGTH} are accepted")
    if _FORBIDDEN.search(url):
        raise AddressRefused(f"{url[:80]!r} contains spaces, control characters or backslashes; percent-encode them")
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS or not rest:
        raise AddressRefused(f"{url[:80]!r} is no http:// or https:// URL")
    authority, resource = _split(url)
    host, port = _authority(authority)
    return Target(scheme=scheme, host=host, port=_port(port, scheme), resource=resource)


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url, allow_fragments=True)
    except ValueError as error:
        raise AddressRefused(f"{url[:80]!r} is no readable URL: {error}") from error
    resource = quote(parts.path or "/", safe=_SAFE)
    return parts.netloc, resource + ("?" + quote(parts.query, safe=_SAFE) if parts.query else "")


def _authority(text: str) -> tuple[str, str | None]:
    if "@" in text:
        raise AddressRefused("the URL carries a user name or password; URLs with credentials are not fetched")
    if not text.isascii():
        raise AddressRefused(f"the host {text[:80]!r} is not ASCII; write it in its xn-- form")
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise AddressRefused(f"{text[:80]!r} is no plain host name or IP address with an optional port")
    return _host(match["host"].lower()), match["port"]


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        if _NUMBER.fullmatch(text.rpartition(".")[2]):
            return str(IPv4Address(text))
    except AddressValueError as error:
        raise AddressRefused(f"the host {text!r} is no IP address in its usual spelling: {error}") from error
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise AddressRefused(f"{text[:80]!r} is no plain host name")
    return text


def _port(text: str | None, scheme: str) -> int:
    port = DEFAULT_PORTS[scheme] if text is None else int(text)
    if port not in (80, 443) and not 1024 <= port <= 65535:
        raise AddressRefused(f"port {port} is not fetched from; use 80, 443 or 1024 to 65535")
    return port
