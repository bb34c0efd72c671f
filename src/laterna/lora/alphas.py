"""An adapter's strength where its file has no `.alpha` tensors: what metadata or PEFT's configuration say, or 1.

diffusers writes PEFT's configurations of all networks into the header, under `lora_adapter_metadata`; PEFT writes the
one of its network into `adapter_config.json`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from laterna.errors import UnreadableAdapter, UnsupportedAdapter
from laterna.lora.keys import Pair
from laterna.lora.reading import AdapterFile

KEY = "lora_adapter_metadata"
PLAIN = re.compile(r"[\w.-]+", re.ASCII)


class Alphas:
    """The scales of one file's pairs."""

    def __init__(self, file: AdapterFile) -> None:
        """Raises UnreadableAdapter for metadata that is no JSON object, UnsupportedAdapter where it says DoRA."""
        self._said = _metadata(file)
        for key, value in self._said.items():
            if key.rpartition(".")[2] == "use_dora" and value:
                raise UnsupportedAdapter(f"the adapter is DoRA ({key!r}); only plain low-rank factors are applied")

    def scale(self, part: str, layer: str, pair: Pair) -> float:
        """What the product of a pair is multiplied by: alpha / rank, or alpha / sqrt(rank) (arXiv:2312.03732)."""
        if pair.alpha is not None:
            return pair.alpha / pair.rank
        alpha = self._alpha(part, layer)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(pair.rank) if self._of(part, "use_rslora") else pair.rank)

    def _alpha(self, part: str, layer: str) -> float | None:
        patterns = self._of(part, "alpha_pattern")
        for pattern, alpha in patterns.items() if isinstance(patterns, Mapping) else ():
            if _is_named(str(pattern), layer):
                return _number(alpha)
        alpha = self._of(part, "lora_alpha")
        return None if alpha is None else _number(alpha)

    def _of(self, part: str, name: str) -> Any:
        return self._said.get(f"{part}.{name}", self._said.get(name))


def _metadata(file: AdapterFile) -> Mapping[str, Any]:
    if KEY not in file.metadata:
        return file.config
    try:
        found = json.loads(file.metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise UnreadableAdapter(f"the adapter's {KEY} is not readable as JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableAdapter(f"the adapter's {KEY} is no JSON object")
    return found


def _is_named(pattern: str, layer: str) -> bool:
    """Whether PEFT's pattern means the layer: the end of its name. Regular expressions are not read."""
    name = pattern.strip("^$").replace("\\", "")
    if not PLAIN.fullmatch(name):
        raise UnsupportedAdapter(f"the adapter's alpha_pattern has {pattern[:80]!r}, which is no layer's name")
    return layer == name or layer.endswith(f".{name}")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableAdapter(f"the adapter's metadata says alpha = {value!r}, which is no number")
    return float(value)
