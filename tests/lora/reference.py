"""What diffusers' pipelines paint with the same adapters: `load_lora_weights`, then `set_adapters` with the scales."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from laterna.contracts.generation import TextToImage
from laterna.families.family import Picture
from tests.families.reference import load_pipeline, paint_by_diffusers


@dataclass(frozen=True, kw_only=True)
class Worn:
    """An adapter's file and how strongly it acts."""

    file: Path
    scale: float


class Painter:
    """One checkpoint's pipeline, which puts adapters on for one picture and takes them off again."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._pipeline: Any = load_pipeline(name, folder)

    def networks(self) -> dict[str, nn.Module]:
        """Those that diffusers can put adapters on: of flux's text encoders CLIP alone."""
        parts = ("transformer", "text_encoder") if self._name.startswith("flux") else ENCODED
        return {part: network for part in parts if (network := getattr(self._pipeline, part, None)) is not None}

    def paint(self, job: TextToImage, stack: Sequence[Worn]) -> Picture:
        names = [f"a{number}" for number in range(len(stack))]
        for name, worn in zip(names, stack, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT warns of every adapter after the first
                self._load(worn.file, name)
        if names:
            self._pipeline.set_adapters(names, [worn.scale for worn in stack])
        try:
            return paint_by_diffusers(self._name, self._folder, job, self._pipeline)
        finally:
            if names:
                self._pipeline.unload_lora_weights()

    def _load(self, file: Path, name: str) -> None:
        self._pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)


ENCODED = ("unet", "text_encoder", "text_encoder_2")
