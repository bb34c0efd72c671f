"""An adapter's file: whole safetensors with a header of sane size, or a typed refusal. Nothing in it is run.

What the tensors' names mean, `keys` knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from laterna.errors import UnreadableAdapter

LARGEST_HEADER = 16 * 2**20  # bytes; a few thousand tensors take well below one MiB
LENGTH = 8  # bytes of the header's length, little-endian
PICKLE = (b"PK", b"\x80")  # how torch.save's archives, and bare pickles, begin


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """What a file holds, in memory."""

    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str]  # of the header; empty when there is none
    config: Mapping[str, Any]  # PEFT's adapter_config.json, which lay beside it; empty when there is none


def read(path: Path, config: Path | None = None) -> AdapterFile:
    """Raises UnreadableAdapter naming what is wrong with the file."""
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UnreadableAdapter(f"the adapter is not whole safetensors: {error}") from error
    return AdapterFile(tensors=tensors, metadata=metadata, config=_config(config))


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begin = file.read(LENGTH + 1)
    except OSError as error:
        raise UnreadableAdapter(f"the adapter's file cannot be opened: {error.strerror}") from error
    header = int.from_bytes(begin[:LENGTH], "little")
    if begin[LENGTH:] != b"{":
        if begin.startswith(PICKLE):
            raise UnreadableAdapter("the adapter is pickle, which can run code when opened; convert it to safetensors")
        raise UnreadableAdapter("the adapter is not safetensors: its header is no JSON object")
    if header > LARGEST_HEADER:
        raise UnreadableAdapter(f"the adapter's header says {header} bytes; at most {LARGEST_HEADER} are read")


def _config(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableAdapter(f"the adapter's configuration is not readable as JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableAdapter("the adapter's configuration is no JSON object")
    return found
