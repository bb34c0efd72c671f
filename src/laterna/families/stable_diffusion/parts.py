"""What a model of the family is made of, and how that is read from a folder in the diffusers layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from laterna.families.components import load_part, load_tokenizer, read_json
from laterna.families.stable_diffusion.conditioning import Encoders, OneEncoder, TwoEncoders
from laterna.families.text import text_length
from laterna.families.training_noise import read_scheduler


@dataclass(frozen=True, kw_only=True)
class Parts:
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    encoders: Encoders
    scheduler: Mapping[str, Any]  # the scheduler's configuration


def folder_parts(source: Path, device: torch.device, dtype: torch.dtype) -> Parts:
    unet = load_part(UNet2DConditionModel, source, "unet", device, dtype)
    vae_type = vae_dtype(read_json(source / "vae" / "config.json"), dtype)
    sized = unet.config.addition_embed_type == "text_time"
    return Parts(
        unet=unet,
        vae=load_part(AutoencoderKL, source, "vae", device, vae_type),
        encoders=(_two if sized else _one)(source, device, dtype),
        scheduler=read_scheduler(source),
    )


def vae_dtype(config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    """float32 where the autoencoder's activations would leave float16's range."""
    return torch.float32 if dtype == torch.float16 and config.get("force_upcast", True) else dtype


def _one(source: Path, device: torch.device, dtype: torch.dtype) -> Encoders:
    clip = load_part(CLIPTextModel, source, "text_encoder", device, dtype)
    tokenizer = load_tokenizer(source, "tokenizer")
    length = text_length(tokenizer, clip.config.max_position_embeddings)
    return OneEncoder(clip=clip, tokenizer=tokenizer, length=length)


def _two(source: Path, device: torch.device, dtype: torch.dtype) -> Encoders:
    first = load_part(CLIPTextModel, source, "text_encoder", device, dtype)
    tokenizer = load_tokenizer(source, "tokenizer")
    return TwoEncoders(
        first=first,
        first_tokenizer=tokenizer,
        second=load_part(CLIPTextModelWithProjection, source, "text_encoder_2", device, dtype),
        second_tokenizer=load_tokenizer(source, "tokenizer_2"),
        length=text_length(tokenizer, first.config.max_position_embeddings),
        zeros_for_empty=bool(read_json(source / "model_index.json").get("force_zeros_for_empty_prompt", True)),
    )
