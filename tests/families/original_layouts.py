"""Writes tiny diffusers checkpoints as their authors' single files: the renaming backwards, written by hand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

State = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
RESNET_RULES = [(rf"^{old}\b", new) for old, new in RESNET.items()]
UNET_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE = [
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets", r"up.\1.block"),
    (r"up_blocks\.(\d)\.upsamplers\.0", r"up.\1.upsample"),
]
OPEN_CLIP = [
    (r"embeddings\.token_embedding", "token_embedding"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"final_layer_norm", "ln_final"),
    (r"encoder\.layers", "transformer.resblocks"),
    (r"layer_norm(\d)", r"ln_\1"),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
    (r"self_attn\.out_proj", "attn.out_proj"),
]
FLUX = [
    (r"time_text_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
    (r"time_text_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
    (r"time_text_embed\.text_embedder\.linear_1", "vector_in.in_layer"),
    (r"time_text_embed\.text_embedder\.linear_2", "vector_in.out_layer"),
    (r"time_text_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
    (r"time_text_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
    (r"x_embedder", "img_in"),
    (r"context_embedder", "txt_in"),
    (r"^proj_out", "final_layer.linear"),
    (r"norm_out\.linear", "final_layer.adaLN_modulation.1"),
    (r"^transformer_blocks", "double_blocks"),
    (r"^single_transformer_blocks", "single_blocks"),
    (r"norm1\.linear", "img_mod.lin"),
    (r"norm1_context\.linear", "txt_mod.lin"),
    (r"(double.*)attn\.norm_q\.weight", r"\1img_attn.norm.query_norm.scale"),
    (r"(double.*)attn\.norm_k\.weight", r"\1img_attn.norm.key_norm.scale"),
    (r"attn\.norm_added_q\.weight", "txt_attn.norm.query_norm.scale"),
    (r"attn\.norm_added_k\.weight", "txt_attn.norm.key_norm.scale"),
    (r"attn\.to_out\.0", "img_attn.proj"),
    (r"attn\.to_add_out", "txt_attn.proj"),
    (r"ff\.net\.0\.proj", "img_mlp.0"),
    (r"ff\.net\.2", "img_mlp.2"),
    (r"ff_context\.net\.0\.proj", "txt_mlp.0"),
    (r"ff_context\.net\.2", "txt_mlp.2"),
    (r"(single.*)norm\.linear", r"\1modulation.lin"),
    (r"(single.*)attn\.norm_q\.weight", r"\1norm.query_norm.scale"),
    (r"(single.*)attn\.norm_k\.weight", r"\1norm.key_norm.scale"),
    (r"(single.*)proj_out", r"\1linear2"),
]


def renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def unet(state: State, *, layers: int = 1) -> State:
    attended = {key.split(".")[1] for key in state if key.startswith("up_blocks") and "attentions" in key}
    return {f"model.diffusion_model.{_unet_name(key, layers, attended)}": tensor for key, tensor in state.items()}


def _unet_name(key: str, layers: int, attended: set[str]) -> str:
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key)
    if match is None:
        if key.startswith("mid_block.resnets"):
            _, _, number, inner = key.split(".", 3)
            return f"middle_block.{2 * int(number)}.{renamed(inner, RESNET_RULES)}"
        if key.startswith("mid_block.attentions.0."):
            return "middle_block.1." + key.removeprefix("mid_block.attentions.0.")
        stem, _, leaf = key.rpartition(".")
        return f"{UNET_OUTER[stem]}.{leaf}"
    way, block, kind, layer, rest = match.groups()
    side, first = ("input", 1) if way == "down" else ("output", 0)
    place = first + int(block) * (layers + 1) + int(layer)
    if kind == "resnets":
        return f"{side}_blocks.{place}.0." + renamed(rest, RESNET_RULES)
    if kind == "attentions":
        return f"{side}_blocks.{place}.1.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest[len('conv.') :]}"
    return f"output_blocks.{int(block) * (layers + 1) + layers}.{2 if block in attended else 1}.{rest}"


def vae(state: State, prefix: str) -> State:
    levels = 1 + max(int(match[1]) for key in state if (match := re.search(r"up_blocks\.(\d)", key)))
    written = {}
    for key, tensor in state.items():
        name = re.sub(r"up_blocks\.(\d)", lambda m: f"up_blocks.{levels - 1 - int(m[1])}", key)
        is_projection = "attentions" in key and "group_norm" not in key and key.endswith("weight")
        written[prefix + renamed(name, VAE)] = tensor[:, :, None, None] if is_projection else tensor
    return written


def clip(state: State, prefix: str) -> State:
    return {f"{prefix}text_model.{key.removeprefix('text_model.')}": tensor for key, tensor in state.items()}


def open_clip(state: State, prefix: str) -> State:
    written: State = {}
    for key, tensor in state.items():
        name = key.removeprefix("text_model.")
        if name == "text_projection.weight":
            written["text_projection"] = tensor.T.contiguous()
        elif match := re.fullmatch(r"(.*)self_attn\.q_proj\.(weight|bias)", name):
            three = [state[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            written[f"{renamed(match[1], OPEN_CLIP)}attn.in_proj_{match[2]}"] = torch.cat(three)
        elif not re.search(r"self_attn\.[kv]_proj", name):
            written[renamed(name, OPEN_CLIP)] = tensor
    return {prefix + name: tensor for name, tensor in written.items()}


def flux(state: State, prefix: str = "") -> State:
    written: State = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"(.*)attn\.(to_q|add_q_proj)\.(weight|bias)", key):
            written |= _flux_projections(state, key, *match.groups())
        elif key.startswith("norm_out"):
            scale, shift = tensor.chunk(2)
            written[renamed(key, FLUX)] = torch.cat([shift, scale])
        elif not re.search(r"attn\.(to_[kv]|add_[kv]_proj)|proj_mlp", key):
            written[renamed(key, FLUX)] = tensor
    return {prefix + name: tensor for name, tensor in written.items()}


def _flux_projections(state: State, key: str, before: str, which: str, leaf: str) -> State:
    parts = [state[key.replace(which, which.replace("q", letter))] for letter in "qkv"]
    block = renamed(before, FLUX)
    if block.startswith("single"):
        return {f"{block}linear1.{leaf}": torch.cat([*parts, state[f"{before}proj_mlp.{leaf}"]])}
    return {f"{block}{'img' if which == 'to_q' else 'txt'}_attn.qkv.{leaf}": torch.cat(parts)}


def read(folder: Path, part: str) -> State:
    return load(next((folder / part).glob("*.safetensors")))


def load(path: Path) -> State:
    state: State = load_file(path)
    return state


def write(state: Mapping[str, torch.Tensor], path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def copy_parts(source: Path, target: Path, *parts: str) -> None:
    for part in parts:
        shutil.copytree(source / part, target / part)


def write_sd15(source: Path, path: Path) -> Path:
    text = clip(read(source, "text_encoder"), "cond_stage_model.transformer.")
    return write(unet(read(source, "unet")) | vae(read(source, "vae"), "first_stage_model.") | text, path)


def write_sd21(source: Path, path: Path) -> Path:
    """With the last layer that 2.x does not use, and OpenCLIP's tensors that nobody needs."""
    encoder = read(source, "text_encoder")
    last = {key.replace("layers.2.", "layers.3."): -t for key, t in encoder.items() if "layers.2." in key}
    text = open_clip({**encoder, **last, "text_projection.weight": torch.ones(64, 64)}, "cond_stage_model.model.")
    text["cond_stage_model.model.logit_scale"] = torch.ones(())
    return write(unet(read(source, "unet")) | vae(read(source, "vae"), "first_stage_model.") | text, path)


def write_sdxl(source: Path, path: Path) -> Path:
    first = clip(read(source, "text_encoder"), "conditioner.embedders.0.transformer.")
    second = open_clip(read(source, "text_encoder_2"), "conditioner.embedders.1.model.")
    return write(unet(read(source, "unet")) | vae(read(source, "vae"), "first_stage_model.") | first | second, path)
