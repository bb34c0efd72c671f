"""Autoencoders in the original layout: the architecture from the shapes of the tensors, and the network.

Families keep what no shape tells, such as the scale of the latents.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

from laterna.families.single_file import Shapes, SingleFile, State, count


def load_vae(
    file: SingleFile, prefix: str, config: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> AutoencoderKL:
    """The autoencoder below `prefix`. Raises UnreadableWeights."""

    def make() -> AutoencoderKL:
        return AutoencoderKL.from_config(config)

    def convert(state: State, network: Any) -> State:
        return dict(convert_ldm_vae_checkpoint(state, config))

    return file.part("autoencoder", prefix, make, convert, device, dtype)


def vae_config(shapes: Shapes, prefix: str, **known: Any) -> dict[str, Any]:
    """`known`: what no shape tells. KeyError for another layout."""
    levels = count(shapes, rf"{re.escape(prefix)}encoder\.down\.(\d+)\.")
    return {
        "block_out_channels": [shapes[f"{prefix}encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": count(shapes, rf"{re.escape(prefix)}encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": shapes[f"{prefix}decoder.conv_in.weight"][1],
        "use_quant_conv": f"{prefix}quant_conv.weight" in shapes,
        "use_post_quant_conv": f"{prefix}post_quant_conv.weight" in shapes,
        **known,
    }
