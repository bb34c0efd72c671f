"""`laterna certs`: the local certificate authority and the server's certificate."""

from __future__ import annotations

import json

from laterna.config import Settings
from laterna.private import private_folder
from laterna.server.address import served_names
from laterna.store.lock import FolderLock
from laterna.tls.certificates import certificate_paths, ensure_certificates


def certs(settings: Settings, *, as_json: bool) -> None:
    """Print their paths. Where no server runs they are made if need be; a running server's are left alone."""
    folder = settings.data / "tls"
    if FolderLock.holder(settings.data) is None:
        private_folder(settings.data)
        ensure_certificates(folder, served_names(settings))
    paths = certificate_paths(folder)
    shown = {
        "authority": str(paths.authority),
        "bundle": str(paths.bundle),
        "certificate": str(paths.certificate),
        "key": str(paths.key),
    }
    print(json.dumps(shown, indent=2) if as_json else "\n".join(f"{name}: {path}" for name, path in shown.items()))
