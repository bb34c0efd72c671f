"""One .safetensors file in the layout of a model's authors: names and shapes at once, tensors when they are asked for.

Networks are built without memory of their own and take the file's tensors. What a file does not hold - tokenizers, some
models' text encoders - comes from a folder in the diffusers layout: that of the card's `config`, or the file's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open

from laterna.contracts.generation import ModelRef
from laterna.errors import ConfigError, UnreadableWeights
from laterna.families.components import settle
from laterna.families.safety import check_file

Part = TypeVar("Part", bound=torch.nn.Module)
State = dict[str, torch.Tensor]
Shapes = Mapping[str, tuple[int, ...]]  # tensor name -> shape
Convert = Callable[[State, Any], State]  # tensors of the file and the network -> tensors of the network
FAULTS = (KeyError, IndexError, ValueError, RuntimeError, TypeError, AttributeError, ZeroDivisionError)


class SingleFile:
    """A checkpoint file. Raises UnsafeWeights or UnreadableWeights unless it is whole."""

    def __init__(self, path: Path) -> None:
        check_file(path)
        self.path = path
        with safe_open(path, framework="pt") as file:
            self.shapes: Shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def read(self, prefix: str) -> State:
        """The tensors whose names start with `prefix`, under their full names."""
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in self.shapes if name.startswith(prefix)}
        except (SafetensorError, OSError) as error:
            raise UnreadableWeights(f"{self.path}: {error}; get it again") from error

    def part(
        self,
        what: str,
        prefix: str,
        make: Callable[[], Part],
        convert: Convert,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Part:
        """The network that `make` builds, filled with what `convert` finds below `prefix`.

        Raises UnreadableWeights naming `what` when tensors are missing or have other shapes.
        """
        try:
            with init_empty_weights(include_buffers=False):
                network = make()
            state = convert(self.read(prefix), network)
            missing = fill(network, state, dtype)
        except FAULTS as error:
            raise UnreadableWeights(f"{self.path}: not a readable {what}: {error!r}") from error
        if missing:
            raise UnreadableWeights(f"{self.path}: the {what} lacks {', '.join(missing[:3])} ({len(missing)} in all)")
        return settle(network, device)


def fill(network: torch.nn.Module, state: State, dtype: torch.dtype) -> list[str]:
    """Hand the tensors over, one cast at a time so that both types never lie in memory whole; the names not found."""
    for name in list(state):
        state[name] = state[name].to(dtype)
    return list(network.load_state_dict(state, strict=False, assign=True).missing_keys)


def config_folder(ref: ModelRef, source: Path) -> Path:
    """Where a single file's other parts are. Raises ConfigError for a `config` that is no folder."""
    named = ref.settings.get("config")
    if named is None:
        return source.parent
    folder = Path(str(named)).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"settings.config of {ref.id!r}: {named!r} is no folder")
    return folder


def count(shapes: Shapes, pattern: str) -> int:
    """How many different numbers stand in the group of a pattern's matches: layers, blocks."""
    found = re.compile(pattern)
    return len({match[1] for name in shapes if (match := found.match(name))})
