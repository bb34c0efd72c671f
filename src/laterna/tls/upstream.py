"""The proxy that a shell named before it was pointed at ours, through which every host but fal's is still reached.

It speaks HTTP (CONNECT) or SOCKS, and travels in the user name of our own proxy's URL: each client brings its own, and
the server keeps none.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

USER = "laterna"  # user name in our proxy's URL; `laterna-` and the upstream's URL, encoded, where there is one
PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A proxy by its URL. `socks4` and `socks5` have hosts looked up here, `socks4a` and `socks5h` by the proxy."""

    scheme: str  # one of PORTS
    host: str
    port: int
    user: str | None  # absent when it needs none
    password: str  # empty without a user

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization; None when it needs none."""
        if self.user is None:
            return None
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


def user_name(proxy: str | None) -> str:
    """Our user name for a client whose own proxy has this URL; None where it has none."""
    if proxy is None:
        return USER
    return f"{USER}-{base64.urlsafe_b64encode(proxy.encode()).decode().rstrip('=')}"


def carried(user: str) -> str | None:
    """The URL in a user name of ours; None where there is none."""
    encoded = user.removeprefix(f"{USER}-")
    if encoded == user:
        return None
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def own(proxy: str | None) -> str | None:
    """The client's own proxy where the URL is ours, from a shell that is pointed at a server already."""
    user = urlsplit(proxy).username if proxy else None
    return carried(user) if user is not None and user.partition("-")[0] == USER else proxy


def parse(proxy: str) -> Upstream:
    """Raises ValueError for what is no address of a proxy that can be gone through; it shows no password."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is none of {', '.join(PORTS)}")
    return Upstream(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
    )
