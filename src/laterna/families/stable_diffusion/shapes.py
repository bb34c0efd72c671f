"""The architecture of a checkpoint in the original layout, read off the shapes of its tensors.

What no shape tells is known of the published kinds: 8 heads where projections are convolutions (1.5), heads of 64
channels where they are linear (2.1, XL), the autoencoders' scaling, and the noise that all were trained with.
"""

from __future__ import annotations

import re
from typing import Any

from laterna.families.single_file import Shapes, count

UNET = "model.diffusion_model."
VAE = "first_stage_model."
XL_LABEL = f"{UNET}label_emb.0.0.weight"
XL_POOLED = "conditioner.embedders.1.model.text_projection"
HEAD = 64  # channels of an attention head
SCALING = 0.18215
XL_SCALING = 0.13025
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}
Config = dict[str, Any]


def is_xl(shapes: Shapes) -> bool:
    return XL_LABEL in shapes


def has_linear_projections(shapes: Shapes) -> bool:
    return len(shapes[f"{UNET}middle_block.1.proj_in.weight"]) == 2


def scheduler_config(shapes: Shapes) -> Config:
    """What is said where no scheduler's configuration lies beside the file: 2.1 predicts v, the others noise."""
    predicts_v = has_linear_projections(shapes) and not is_xl(shapes)
    return {**NOISE, "prediction_type": "v_prediction" if predicts_v else "epsilon"}


def unet_config(shapes: Shapes) -> Config:
    levels = _levels(shapes)
    channels = [shapes[f"{UNET}input_blocks.{level[0]}.0.out_layers.3.weight"][0] for level in levels]
    depths = [_depth(shapes, f"input_blocks.{level[0]}.1") for level in levels]
    linear = has_linear_projections(shapes)
    return {
        "in_channels": shapes[f"{UNET}input_blocks.0.0.weight"][1],
        "out_channels": shapes[f"{UNET}out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": len(levels[0]),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), _depth(shapes, "middle_block.1")],
        "cross_attention_dim": shapes[f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": [width // HEAD for width in channels] if linear else 8,
        "use_linear_projection": linear,
        "upcast_attention": linear and not is_xl(shapes),
        **(_added(shapes) if is_xl(shapes) else {}),
    }


def _levels(shapes: Shapes) -> list[list[int]]:
    """Numbers of the input blocks of each resolution, those that only halve it left out."""
    levels: list[list[int]] = [[]]
    for block in range(1, count(shapes, rf"{re.escape(UNET)}input_blocks\.(\d+)\.")):
        if f"{UNET}input_blocks.{block}.0.op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(block)
    return levels


def _depth(shapes: Shapes, block: str) -> int:
    return count(shapes, rf"{re.escape(UNET + block)}\.transformer_blocks\.(\d+)\.")


def _added(shapes: Shapes) -> Config:
    """XL's pooled text and six numbers about the size."""
    width = shapes[XL_LABEL][1]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - shapes[XL_POOLED][1]) // 6,
        "projection_class_embeddings_input_dim": width,
    }


def clip_config(shapes: Shapes, prefix: str) -> Config:
    """Of a text encoder in the naming of transformers, below `prefix`."""
    vocabulary, width = shapes[f"{prefix}embeddings.token_embedding.weight"]
    return {
        **_text(vocabulary, width, shapes[f"{prefix}embeddings.position_embedding.weight"][0]),
        "intermediate_size": shapes[f"{prefix}encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count(shapes, rf"{re.escape(prefix)}encoder\.layers\.(\d+)\."),
        "hidden_act": "quick_gelu",
    }


def open_clip_config(shapes: Shapes, prefix: str, *, unused_layers: int) -> Config:
    """Of a text encoder in the naming of OpenCLIP, below `prefix`."""
    vocabulary, width = shapes[f"{prefix}token_embedding.weight"]
    layers = count(shapes, rf"{re.escape(prefix)}transformer\.resblocks\.(\d+)\.")
    return {
        **_text(vocabulary, width, shapes[f"{prefix}positional_embedding"][0]),
        "intermediate_size": shapes[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": layers - unused_layers,
        "hidden_act": "gelu",
        "projection_dim": shapes.get(f"{prefix}text_projection", (width, width))[1],
    }


def _text(vocabulary: int, width: int, positions: int) -> Config:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_attention_heads": max(1, width // HEAD),
        "eos_token_id": 2,  # transformers' word for: pool where the id is highest
    }
