"""The proxy that a shell named before it was pointed at ours, through which every host but fal's is still reached.

It travels in the user name of our own proxy's URL: each client brings its own, and the server keeps none.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

USER = "laterna"  # user name in our proxy's URL; `laterna-` and the upstream's URL, encoded, where there is one
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """An HTTP proxy."""

    host: str
    port: int
    tls: bool  # spoken to by TLS
    authorization: str | None  # value of Proxy-Authorization; absent when it needs none


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
    """Raises ValueError for what is no address of an HTTP proxy."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is no http or https proxy")
    secret = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else None
    return Upstream(
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        tls=parts.scheme == "https",
        authorization=f"Basic {base64.b64encode(secret.encode()).decode()}" if secret else None,
    )
