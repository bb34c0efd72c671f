"""Endpoint ids as clients write them: `[namespace/]owner/alias[/path]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMESPACES = ("workflows", "comfy")
_LEGACY = re.compile(r"([0-9]+)-([a-zA-Z0-9-]+)")


@dataclass(frozen=True, kw_only=True)
class EndpointId:
    """A parsed id. Requests are submitted under the full id and followed under `app` alone."""

    namespace: str  # workflows or comfy; empty for models
    owner: str
    alias: str
    path: str  # below the app; empty for none

    @property
    def app(self) -> str:
        return "/".join(part for part in (self.namespace, self.owner, self.alias) if part)

    @property
    def full(self) -> str:
        return f"{self.app}/{self.path}" if self.path else self.app


def parse_endpoint_id(text: str) -> EndpointId | None:
    """The parts of an id, which may open or close with a slash; `123-alias` is `123/alias`. None for what is no id."""
    parts = [part for part in text.split("/") if part]
    if len(parts) == 1 and (legacy := _LEGACY.fullmatch(parts[0])):
        parts = list(legacy.groups())
    namespace = parts.pop(0) if parts and parts[0] in NAMESPACES else ""
    if len(parts) < 2:
        return None
    return EndpointId(namespace=namespace, owner=parts[0], alias=parts[1], path="/".join(parts[2:]))
