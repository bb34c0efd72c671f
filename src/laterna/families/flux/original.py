"""The transformer, and the autoencoder, in the layout of their authors: one .safetensors file each.

Text encoders and tokenizers come from a folder in the diffusers layout. The shapes of the tensors tell the
architecture; the split of the rotary axes, which no shape tells, is taken in the published proportion 2 : 7 : 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel

from laterna.errors import UnreadableWeights
from laterna.families.autoencoder import load_vae, vae_config
from laterna.families.single_file import FAULTS, Shapes, SingleFile, State, count
from laterna.lora.layers import Names

WRAPPED = "model.diffusion_model."  # before every name in files made by some user interfaces
SCALING, SHIFT = 0.3611, 0.1159  # of the published autoencoder's latents

# Original name -> name in diffusers; several names are an even split along the first axis.
Parts = tuple[str, ...]
OUTER: dict[str, Parts] = {
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
}
DOUBLE: dict[str, Parts] = {
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
}
SINGLE: dict[str, Parts] = {
    "modulation.lin": ("norm.linear",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
    "linear2": ("proj_out",),
}
FUSED: Parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")  # linear1: the last takes what the first three leave
FINAL = "final_layer.adaLN_modulation.1"  # its halves, shift and scale, have changed places
BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)")


def load_transformer(path: Path, device: torch.device, dtype: torch.dtype) -> FluxTransformer2DModel:
    """Raises UnsafeWeights or UnreadableWeights."""
    file = SingleFile(path)
    prefix = WRAPPED if any(name.startswith(WRAPPED) for name in file.shapes) else ""
    try:
        config = transformer_config({name.removeprefix(prefix): shape for name, shape in file.shapes.items()})
    except FAULTS as error:
        raise UnreadableWeights(
            f"{path}: not a transformer in the original Flux layout ({error!r}); name a folder in the diffusers layout"
        ) from error

    def make() -> FluxTransformer2DModel:
        return FluxTransformer2DModel.from_config(config)

    def convert(state: State, network: Any) -> State:
        return to_diffusers({name.removeprefix(prefix): tensor for name, tensor in state.items()})

    return file.part("transformer", prefix, make, convert, device, dtype)


def load_autoencoder(path: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """Raises UnsafeWeights or UnreadableWeights."""
    file = SingleFile(path)
    try:
        config = vae_config(file.shapes, "", scaling_factor=SCALING, shift_factor=SHIFT)
    except FAULTS as error:
        raise UnreadableWeights(f"{path}: not an autoencoder in the original layout ({error!r})") from error
    return load_vae(file, "", config, device, dtype)


def transformer_config(shapes: Shapes) -> dict[str, Any]:
    width, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, r"double_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"single_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def original_names(transformer: FluxTransformer2DModel) -> dict[str, Names]:
    """The layers by the names that the authors gave them."""
    found = {name: Names(layers=layers) for name, layers in OUTER.items()}
    found[FINAL] = Names(layers=("norm_out.linear",), swapped=True)
    for number in range(transformer.config.num_layers):
        for name, layers in DOUBLE.items():
            below = tuple(f"transformer_blocks.{number}.{layer}" for layer in layers)
            found[f"double_blocks.{number}.{name}"] = Names(layers=below)
    for number in range(transformer.config.num_single_layers):
        for name, layers in {**SINGLE, "linear1": FUSED}.items():
            below = tuple(f"single_transformer_blocks.{number}.{layer}" for layer in layers)
            found[f"single_blocks.{number}.{name}"] = Names(layers=below)
    return found


def to_diffusers(state: State) -> State:
    """Every tensor of the transformer under its name in diffusers. Raises KeyError for a name that nobody knows."""
    width = state["img_in.weight"].shape[0]
    return {name: tensor for key in list(state) for name, tensor in _renamed(key, state.pop(key), width)}


def _renamed(key: str, tensor: torch.Tensor, width: int) -> Iterator[tuple[str, torch.Tensor]]:
    stem, _, leaf = key.rpartition(".")
    leaf = "weight" if leaf == "scale" else leaf
    if stem == FINAL:
        shift, scale = tensor.chunk(2)
        yield f"norm_out.linear.{leaf}", torch.cat([scale, shift])
        return
    match = BLOCK.fullmatch(stem)
    if match is None:
        names, before = OUTER[stem], ""
    elif match[1] == "double":
        names, before = DOUBLE[match[3]], f"transformer_blocks.{match[2]}."
    else:
        names = FUSED if match[3] == "linear1" else SINGLE[match[3]]
        before = f"single_transformer_blocks.{match[2]}."
    sizes = [width] * 3 + [len(tensor) - 3 * width] if names == FUSED else [len(tensor) // len(names)] * len(names)
    for name, part in zip(names, torch.split(tensor, sizes), strict=True):
        yield f"{before}{name}.{leaf}", part.clone() if len(names) > 1 else part
