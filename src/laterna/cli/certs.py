"""`laterna certs`: the local certificate authority and the server's certificate."""

from __future__ import annotations

import json

from laterna.config import Settings
from laterna.tls.certificates import ensure_certificates


def certs(settings: Settings, *, as_json: bool) -> None:
    """Make them where they are missing or run out, and print their paths."""
    paths = ensure_certificates(settings.data / "tls", settings.names)
    shown = {
        "authority": str(paths.authority),
        "bundle": str(paths.bundle),
        "certificate": str(paths.certificate),
        "key": str(paths.key),
    }
    print(json.dumps(shown, indent=2) if as_json else "\n".join(f"{name}: {path}" for name, path in shown.items()))
