"""Where a model's weights are: `builtin:NAME`, `path:FOLDER-OR-FILE` or `hub:OWNER/NAME[@REVISION]` to a path.

Finds and, for hubs, downloads. What lies there is looked at by `safety` and read by `components` and `single_file`.
"""

from __future__ import annotations

import re
from pathlib import Path

import laterna
from laterna.contracts.generation import ModelRef
from laterna.errors import ConfigError, MissingWeights

BUILTIN = re.compile(r"[a-z0-9][a-z0-9_-]*")
FORMS = "builtin:NAME, path:FOLDER-OR-FILE or hub:OWNER/NAME[@REVISION]"


def resolve_weights(ref: ModelRef) -> Path:
    """A folder in the diffusers layout, or one .safetensors file.

    Raises ConfigError for another form, MissingWeights when nothing is there or the hub does not give it, and
    UnsafeWeights when the hub has it as pickle only.
    """
    kind, _, rest = ref.weights.partition(":")
    if kind == "builtin" and BUILTIN.fullmatch(rest):
        return _existing(Path(laterna.__file__).parent / "models" / rest / "weights", ref)
    if kind == "path" and rest:
        return _existing(Path(rest).expanduser(), ref)
    if kind == "hub" and rest:
        from laterna.families.hub import download

        return download(rest)
    raise ConfigError(f"weights of {ref.id!r}: {ref.weights!r} is none of {FORMS}")


def _existing(path: Path, ref: ModelRef) -> Path:
    if not path.exists():
        raise MissingWeights(
            f"weights of {ref.id!r}: {ref.weights!r} leads to {path}, where nothing is; correct the card"
        )
    return path
