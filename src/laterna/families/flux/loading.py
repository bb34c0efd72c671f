"""Loads a model of the flux family, from a folder in the diffusers layout or a transformer in its authors' single file.

Of the settings it reads `max_sequence_length`, T5 tokens of a prompt (512), the thresholds of reuse `cache_regular` and
`cache_high`, and for single files `config`: the folder in the diffusers layout that has everything else, where that is
not the file's own. Beside a single file the autoencoder may lie as `ae.safetensors`, in the authors' layout too, and
the scheduler's configuration may be missing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import CLIPTextModel, T5EncoderModel

from laterna.contracts.generation import ModelRef
from laterna.errors import UnreadableWeights
from laterna.families.caching import Thresholds
from laterna.families.components import load_part, load_tokenizer
from laterna.families.flux.conditioning import Encoders
from laterna.families.flux.family import Flux
from laterna.families.flux.network import Network
from laterna.families.flux.original import load_autoencoder, load_transformer
from laterna.families.settings import integer_setting
from laterna.families.single_file import config_folder
from laterna.families.text import text_length
from laterna.families.training_noise import SCHEDULER, noise_of, read_scheduler
from laterna.families.weights import resolve_weights
from laterna.lora.library import Library
from laterna.samplers.noise import FlowNoise, NoiseSchedule

MAX_SEQUENCE_LENGTH = 512  # T5 tokens
REGULAR, HIGH = 0.08, 0.12  # of the first block's change: 1.55x and 1.91x on FLUX.1 dev as published by ParaAttention
AUTOENCODER = "ae.safetensors"
SCHNELL_NOISE = FlowNoise(shift=1.0)
DEV_NOISE = FlowNoise(shift=3.0, use_dynamic_shifting=True)


def load(ref: ModelRef, device: torch.device, dtype: torch.dtype, library: Library | None = None) -> Flux:
    """Raises WeightsError or ConfigError."""
    length = integer_setting(ref, "max_sequence_length", MAX_SEQUENCE_LENGTH)
    source = resolve_weights(ref)
    if source.is_file():
        folder = config_folder(ref, source)
        transformer = load_transformer(source, device, dtype)
    else:
        folder = source
        transformer = load_part(FluxTransformer2DModel, source, "transformer", device, dtype)
    vae = _autoencoder(folder, device, dtype)
    _check_channels(source, transformer, vae)
    noise = _noise(folder, transformer, may_be_missing=source.is_file())
    thresholds = Thresholds.of(ref, regular=REGULAR, high=HIGH)
    return Flux(Network(transformer, thresholds), _encoders(folder, length, device, dtype), vae, noise, library)


def _autoencoder(folder: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    if not (folder / "vae").is_dir() and (folder / AUTOENCODER).is_file():
        return load_autoencoder(folder / AUTOENCODER, device, dtype)
    return load_part(AutoencoderKL, folder, "vae", device, dtype)


def _noise(folder: Path, transformer: FluxTransformer2DModel, *, may_be_missing: bool) -> NoiseSchedule:
    if may_be_missing and not (folder / SCHEDULER).exists():
        return DEV_NOISE if transformer.config.guidance_embeds else SCHNELL_NOISE
    return noise_of(read_scheduler(folder), folder)


def _encoders(folder: Path, length: int, device: torch.device, dtype: torch.dtype) -> Encoders:
    clip = load_part(CLIPTextModel, folder, "text_encoder", device, dtype)
    clip_tokenizer = load_tokenizer(folder, "tokenizer")
    return Encoders(
        clip=clip,
        clip_tokenizer=clip_tokenizer,
        clip_length=text_length(clip_tokenizer, clip.config.max_position_embeddings),
        t5=load_part(T5EncoderModel, folder, "text_encoder_2", device, dtype),
        t5_tokenizer=load_tokenizer(folder, "tokenizer_2"),
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
