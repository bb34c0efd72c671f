"""Random adapters of real networks, written in the layouts of the tools that people train with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from laterna.lora.library import Library
from laterna.lora.shelf import Shelf

STRENGTH = 0.35  # of an adapter's change of a layer, against the layer's own answer
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Made:
    """Factors of one layer."""

    down: torch.Tensor
    up: torch.Tensor
    alpha: float


Adapter = dict[tuple[str, str], Made]  # (part, layer) -> factors


def make(networks: Mapping[str, nn.Module], seed: int, rank: int = 4, only: str = "", alpha: float = 0.0) -> Adapter:
    """Factors for every linear and convolutional layer whose name contains one of the words in `only`."""
    generator = torch.Generator().manual_seed(seed)
    made: Adapter = {}
    for part, network in networks.items():
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and any(word in name for word in only.split() or [""]):
                made[part, name] = factors(module, rank, generator, alpha or float(rank))
    return made


def factors(module: nn.Linear | nn.Conv2d, rank: int, generator: torch.Generator, alpha: float) -> Made:
    out, *into = module.weight.shape
    down = torch.randn((rank, *into), generator=generator) / math.sqrt(math.prod(into))
    up = torch.randn((out, rank, *[1] * (len(into) - 1)), generator=generator) * STRENGTH / math.sqrt(rank)
    return Made(down=down, up=up * rank / alpha, alpha=alpha)


def peft(adapter: Adapter, prefix: str = "", infix: str = "") -> Tensors:
    """What diffusers and PEFT write. Strengths go into metadata or nowhere."""
    tensors = {}
    for (part, layer), made in adapter.items():
        tensors[f"{prefix}{part}.{layer}.lora_A{infix}.weight"] = made.down
        tensors[f"{prefix}{part}.{layer}.lora_B{infix}.weight"] = made.up
    return tensors


def old_diffusers(adapter: Adapter) -> Tensors:
    """Attention processors of the UNet, and the text encoder's layers."""
    tensors: Tensors = {}
    for (part, layer), made in adapter.items():
        block, _, projection = layer.removesuffix(".0").rpartition(".")
        stem = f"{part}.{block}.processor.{projection}_lora"
        if part != "unet":
            stem = f"{part}.{wrapped(layer)}.lora_linear_layer"
        tensors |= {f"{stem}.down.weight": made.down, f"{stem}.up.weight": made.up}
    return tensors


def kohya(adapter: Adapter, encoders: Mapping[str, str], names: Mapping[str, str] | None = None) -> Tensors:
    """What sd-scripts writes.

    Args:
        encoders: part of a text encoder -> prefix, such as lora_te_.
        names: the denoiser's layers in the original layout, for adapters that are written in it.
    """
    tensors: Tensors = {}
    for (part, layer), made in adapter.items():
        named = wrapped(layer) if part in encoders else (names or {}).get(layer, layer)
        stem = encoders.get(part, "lora_unet_") + named.replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": made.down, f"{stem}.lora_up.weight": made.up}
        tensors[f"{stem}.alpha"] = torch.tensor(made.alpha)
    return tensors


def wrapped(layer: str) -> str:
    """As adapters name layers of CLIP, whatever the installed transformers does."""
    return layer if layer.startswith(("text_model.", "encoder.block", "text_projection")) else f"text_model.{layer}"


def metadata(**parts: dict[str, Any]) -> dict[str, str]:
    """The header of a file that diffusers wrote, with PEFT's configuration of each part."""
    flat = {f"{part}.{key}": value for part, config in parts.items() for key, value in config.items()}
    return {"format": "pt", "lora_adapter_metadata": json.dumps(flat)}


def write(path: Path, tensors: Tensors, header: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, header)
    return path


def library(folder: Path, budget_bytes: int = 2**30) -> Library:
    return Library(Shelf(folder, budget_bytes=2**30), budget_bytes)


def shelve(shelf: Shelf, file: Path, config: dict[str, Any] | None = None) -> str:
    """Put a copy onto a shelf and say its digest."""
    scratch = shelf.scratch()
    scratch.write_bytes(file.read_bytes())
    return shelf.put(scratch, None if config is None else json.dumps(config).encode())
