"""Which weight files may be opened: safetensors that are what their name says, and nothing that could run code.

Looks at names and headers only. Pickle beside complete safetensors is ignored, pickle instead of them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError, safe_open

from laterna.errors import MissingWeights, UnreadableWeights, UnsafeWeights

SAFE = ".safetensors"
PICKLE = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".joblib")
WEIGHTS = re.compile(  # of diffusers and of transformers
    r"(diffusion_pytorch_model|model)(\.(?P<variant>\w+))?(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
)


def check_part(folder: Path) -> None:
    """Raises MissingWeights, UnsafeWeights or UnreadableWeights unless the folder holds readable safetensors."""
    if not folder.is_dir():
        raise MissingWeights(f"{folder}: the checkpoint has no such folder; a complete one is needed")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    safe = [path for path in files if path.suffix == SAFE]
    if not safe:
        refuse_pickle(folder, [path.name for path in files])
        raise MissingWeights(f"{folder}: holds no {SAFE} file; a complete checkpoint is needed")
    for path in safe:
        check_file(path)


def refuse_pickle(where: Path | str, names: Iterable[str]) -> None:
    """Raises UnsafeWeights if any of the names is pickle's."""
    for name in names:
        if PurePosixPath(name).suffix.lower() in PICKLE:
            raise UnsafeWeights(
                f"{where}: {name} is pickle, which can run code when it is opened; convert the model to {SAFE}"
            )


def check_file(path: Path) -> None:
    """Raises UnsafeWeights or UnreadableWeights unless the file is whole safetensors: header and length agree."""
    if path.suffix != SAFE:
        refuse_pickle(path.parent, [path.name])
        raise UnreadableWeights(f"{path}: weights must be {SAFE}; convert the model")
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UnreadableWeights(
            f"{path}: not readable as {SAFE} ({error}); it may be cut off or renamed, get it again"
        ) from error


def variant_of(folder: Path) -> str | None:
    """The variant to read, such as fp16, where the folder holds no plain weights; the first by name."""
    return _chosen(path.name for path in folder.iterdir()) or None


def plain_weights(names: Iterable[str]) -> list[str]:
    """Of one folder's files those with weights, shards and index included; of several variants the one to read."""
    named = {name: _variant(PurePosixPath(name).name) for name in names}
    chosen = _chosen(PurePosixPath(name).name for name in named)
    return sorted(name for name, variant in named.items() if variant is not None and variant == chosen)


def _chosen(names: Iterable[str]) -> str | None:
    """Empty for plain weights, absent without any."""
    return min((variant for name in names if (variant := _variant(name)) is not None), default=None)


def _variant(name: str) -> str | None:
    """The middle of `STEM[.VARIANT][-00001-of-00002].safetensors[.index.json]`: empty for plain, absent for others."""
    match = WEIGHTS.fullmatch(name)
    return None if match is None else match["variant"] or ""
