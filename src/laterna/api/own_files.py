"""URLs in an input that name files of this server: they are read from the media store, not fetched over the network.

Which of our names a URL was given out under does not matter: its key says that it is ours, and whoever has the key may
read. URLs of other servers stay as they are, for the worker's guarded fetcher.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from laterna.api.services import Services
from laterna.contracts.generation import Generation, Lora
from laterna.errors import FileNotFound
from laterna.tenants.caller import Caller

FILE = re.compile(r"(/.*)?/files/(?P<key>[a-z2-7]{32})(/[^/]*)?", re.ASCII)


async def with_own_files(services: Services, caller: Caller, job: Generation) -> Generation:
    """The job, its adapters' files of this server named by their keys."""
    if not job.loras:
        return job
    return msgspec.structs.replace(job, loras=tuple([await _named(services, caller, lora) for lora in job.loras]))


async def _named(services: Services, caller: Caller, lora: Lora) -> Lora:
    key = _key(lora.path)
    if key is None:
        return lora
    try:
        file = await services.files.get(key)
    except FileNotFound:
        return lora
    return msgspec.structs.replace(lora, file=key) if file.decide(caller.tenant) == "allow" else lora


def _key(path: str) -> str | None:
    """The key in a URL of the form that files have here; None for any other."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    match = FILE.fullmatch(parts.path) if parts.scheme in ("http", "https") else None
    return None if match is None else match["key"]
