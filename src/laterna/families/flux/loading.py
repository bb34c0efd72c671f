"""Loads a model of the flux family. Of the settings it reads `max_sequence_length`, T5 tokens of a prompt (512)."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import CLIPTextModel, T5EncoderModel

from laterna.contracts.generation import ModelRef
from laterna.errors import UnreadableWeights
from laterna.families.components import load_part, load_tokenizer
from laterna.families.flux.conditioning import Encoders
from laterna.families.flux.family import Flux
from laterna.families.flux.network import Network
from laterna.families.settings import integer_setting
from laterna.families.text import text_length
from laterna.families.training_noise import noise_of, read_scheduler
from laterna.families.weights import resolve_weights

MAX_SEQUENCE_LENGTH = 512  # T5 tokens


def load(ref: ModelRef, device: torch.device, dtype: torch.dtype) -> Flux:
    source = resolve_weights(ref)
    transformer = load_part(FluxTransformer2DModel, source, "transformer", device, dtype)
    vae = load_part(AutoencoderKL, source, "vae", device, dtype)
    _check_channels(source, transformer, vae)
    length = integer_setting(ref, "max_sequence_length", MAX_SEQUENCE_LENGTH)
    noise = noise_of(read_scheduler(source), source)
    return Flux(Network(transformer), _encoders(source, length, device, dtype), vae, noise)


def _encoders(source: Path, length: int, device: torch.device, dtype: torch.dtype) -> Encoders:
    clip = load_part(CLIPTextModel, source, "text_encoder", device, dtype)
    clip_tokenizer = load_tokenizer(source, "tokenizer")
    return Encoders(
        clip=clip,
        clip_tokenizer=clip_tokenizer,
        clip_length=text_length(clip_tokenizer, clip.config.max_position_embeddings),
        t5=load_part(T5EncoderModel, source, "text_encoder_2", device, dtype),
        t5_tokenizer=load_tokenizer(source, "tokenizer_2"),
        t5_length=length,
    )


def _check_channels(source: Path, transformer: FluxTransformer2DModel, vae: AutoencoderKL) -> None:
    """Inpainting and control variants take more channels than a latent has."""
    takes, has = transformer.config.in_channels, 4 * vae.config.latent_channels
    if takes != has:
        raise UnreadableWeights(
            f"{source}: transformer.in_channels = {takes}, but packed latents of this autoencoder have {has}; "
            "choose a text-to-image checkpoint"
        )
