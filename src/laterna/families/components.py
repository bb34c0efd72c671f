"""Parts of a checkpoint folder in the diffusers layout: networks, text encoders, tokenizers and JSON files.

Only safetensors are read, nothing is downloaded and no code of a checkpoint is run. Every way in which a part can be
missing, cut off or of another shape ends in a WeightsError that names the file. Neighbours: `weights` finds the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from diffusers import ModelMixin
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from laterna.compiler import prepare
from laterna.errors import MissingWeights, UnreadableWeights
from laterna.families.safety import check_part, variant_of
from laterna.families.text import Tokenizer

Part = TypeVar("Part", bound=torch.nn.Module)
FAULTS = (  # of a broken part; ImportError where it asks for a package, such as one for quantised weights
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    AttributeError,
    ImportError,
    SafetensorError,
)

diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()


def load_part(kind: type[Part], source: Path, name: str, device: torch.device, dtype: torch.dtype) -> Part:
    """The network or text encoder in the folder `name`, ready for inference.

    Raises MissingWeights, UnsafeWeights or UnreadableWeights; weights that lack a tensor of the network are unreadable.
    """
    folder = source / name
    check_part(folder)
    read_json(folder / "config.json")
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "variant": variant_of(folder)}
    try:
        if issubclass(kind, ModelMixin):
            options |= {"dtype": dtype, "low_cpu_mem_usage": True}
        elif issubclass(kind, PreTrainedModel):
            options |= {"dtype": dtype, "trust_remote_code": False}
        found, info = cast("Any", kind).from_pretrained(folder, output_loading_info=True, **options)
    except FAULTS as error:
        raise UnreadableWeights(f"{folder}: not a readable {kind.__name__}: {error}") from error
    _check_complete(folder, info)
    return settle(cast("Part", found), device)


def settle(network: Part, device: torch.device) -> Part:
    """The network on its device, frozen and prepared for it."""
    network.eval().requires_grad_(False).to(device)
    prepare(network)
    return network


def _check_complete(folder: Path, info: dict[str, Any]) -> None:
    """Loaders fill what a file lacks with chance; a picture from that would look like a bad model."""
    for fault in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found := sorted(map(str, info.get(fault) or ())):
            raise UnreadableWeights(
                f"{folder}: {fault.replace('_', ' ')}: {', '.join(found[:3])} ({len(found)} in all)"
            )


def load_tokenizer(source: Path, name: str) -> Tokenizer:
    """The tokenizer in the folder `name`. Raises MissingWeights or UnreadableWeights."""
    folder = source / name
    if not folder.is_dir():
        raise MissingWeights(
            f"{folder}: there is no such folder; a checkpoint needs its tokenizer there, "
            "and for a single file settings.config may name the folder that has it"
        )
    try:
        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except FAULTS as error:
        raise UnreadableWeights(f"{folder}: not a readable tokenizer: {error}") from error
    return cast("Tokenizer", loaded)


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file. Raises MissingWeights or UnreadableWeights."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingWeights(f"{path}: the checkpoint has no such file; a complete one is needed") from error
    except (OSError, ValueError) as error:
        raise UnreadableWeights(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise UnreadableWeights(f"{path}: a JSON object was expected, not {type(value).__name__}")
    return value


def bytes_of(networks: Iterable[torch.nn.Module]) -> int:
    """Parameters and buffers, each storage counted once: encoders share theirs between embeddings.

    A packed weight has left the storage of its parameter, and is as large as that says.
    """
    tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
    storages = {t.untyped_storage().data_ptr(): max(t.untyped_storage().nbytes(), t.nbytes) for t in tensors}
    return sum(storages.values())
