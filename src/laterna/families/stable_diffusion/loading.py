"""Loads a model of the stable_diffusion family; which of its kinds it is, the checkpoint says. It reads no settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from laterna.contracts.generation import ModelRef
from laterna.errors import UnreadableWeights
from laterna.families.components import load_part, load_tokenizer, read_json
from laterna.families.stable_diffusion.conditioning import Encoders, OneEncoder, TwoEncoders
from laterna.families.stable_diffusion.family import StableDiffusion
from laterna.families.stable_diffusion.network import Network, Prediction
from laterna.families.text import text_length
from laterna.families.training_noise import SCHEDULER, noise_of, read_scheduler
from laterna.families.weights import resolve_weights

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def load(ref: ModelRef, device: torch.device, dtype: torch.dtype) -> StableDiffusion:
    source = resolve_weights(ref)
    unet = load_part(UNet2DConditionModel, source, "unet", device, dtype)
    vae = load_vae(source, device, dtype)
    _check_channels(source, unet, vae)
    scheduler = read_scheduler(source)
    network = Network(unet, _prediction(scheduler, source))
    encoders = _two(source, device, dtype) if network.is_xl else _one(source, device, dtype)
    return StableDiffusion(network, encoders, vae, noise_of(scheduler, source))


def load_vae(source: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """In float32 where its activations would leave float16's range."""
    upcast = dtype == torch.float16 and read_json(source / "vae" / "config.json").get("force_upcast", True)
    return load_part(AutoencoderKL, source, "vae", device, torch.float32 if upcast else dtype)


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


def _prediction(scheduler: dict[str, Any], source: Path) -> Prediction:
    value = scheduler.get("prediction_type") or "epsilon"
    if value not in PREDICTIONS:
        raise UnreadableWeights(
            f"{source / SCHEDULER}: prediction_type = {value!r}, not one of {', '.join(PREDICTIONS)}"
        )
    return cast("Prediction", value)


def _check_channels(source: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> None:
    """Inpainting and editing variants take more channels than a latent has."""
    takes, has = unet.config.in_channels, vae.config.latent_channels
    if takes != has:
        raise UnreadableWeights(
            f"{source}: unet.in_channels = {takes}, but latents of this autoencoder have {has}; "
            "choose a text-to-image checkpoint"
        )
