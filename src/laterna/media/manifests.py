"""C2PA manifests: what a file's bytes are, signed, so that others can tell who says so and whether they were altered.

The same for pictures, films and sounds: the library knows where in a file of each type the manifest goes, and no sample
of it changes. Says what `Provenance` says and nothing of the user's input. Needs no network: neither here nor in a
reader is anything fetched, and no time is asked of others.

Source: C2PA specification 2.2, https://spec.c2pa.org.
"""

from __future__ import annotations

import io
import json
from typing import Any

import c2pa

from laterna import __version__
from laterna.errors import MediaError
from laterna.media.provenance import CARRIERS, GENERATED, Provenance
from laterna.media.signatory import Signatory

# Nothing is asked of the network, whoever a file names; no thumbnails; what was just written is not read again.
SETTINGS: dict[str, Any] = {
    "version": 1,
    "core": {"decode_identity_assertions": False, "allowed_network_hosts": [], "allow_redirects": False},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}, "actions": {"auto_created_action": {"enabled": False}}},
}


class Manifests:
    """Puts them into files, for one signatory. Calls may come from any thread, one at a time."""

    def __init__(self, signatory: Signatory) -> None:
        info = c2pa.C2paSignerInfo(
            alg=b"es256", sign_cert=signatory.certificate, private_key=signatory.key, ta_url=None
        )
        self._context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS), c2pa.Signer.from_info(info))

    def signed(self, data: bytes, content_type: str, provenance: Provenance) -> bytes:
        """The file with its manifest. Raises MediaError for a type that carries none, or bytes that are not of it."""
        if content_type not in CARRIERS:
            raise MediaError(f"no manifest can be put into {content_type}; use one of {', '.join(sorted(CARRIERS))}")
        out = io.BytesIO()
        try:
            c2pa.Builder(json.dumps(_definition(provenance)), context=self._context).sign(
                content_type, io.BytesIO(data), out
            )
        except c2pa.C2paError as error:
            raise MediaError(f"no manifest could be put into these bytes of {content_type}: {error}") from error
        return out.getvalue()


def _definition(provenance: Provenance) -> dict[str, Any]:
    action: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": GENERATED}
    if provenance.model is not None:
        action["softwareAgent"] = {"name": provenance.model}
    if provenance.created is not None:
        action["when"] = provenance.created.isoformat().replace("+00:00", "Z")
    return {
        "claim_generator_info": [{"name": "Laterna", "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}, "created": True}],
    }
