"""Loads a model of the stable_diffusion family; which of its kinds it is, the checkpoint says.

Of the settings it reads the thresholds of reuse `cache_regular` and `cache_high`, and for single files `config`: the
folder with their tokenizers, where that is not the file's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from laterna.contracts.generation import ModelRef
from laterna.errors import UnreadableWeights
from laterna.families.caching import Thresholds
from laterna.families.single_file import config_folder
from laterna.families.stable_diffusion.family import StableDiffusion
from laterna.families.stable_diffusion.network import Network, Prediction
from laterna.families.stable_diffusion.original import Original
from laterna.families.stable_diffusion.parts import folder_parts
from laterna.families.training_noise import SCHEDULER, noise_of
from laterna.families.weights import resolve_weights
from laterna.lora.library import Library

REGULAR, HIGH = 0.05, 0.1  # change of the first down block's answer
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def load(ref: ModelRef, device: torch.device, dtype: torch.dtype, library: Library | None = None) -> StableDiffusion:
    """Raises WeightsError or ConfigError."""
    source = resolve_weights(ref)
    if source.is_file():
        parts = Original(source, config_folder(ref, source), device, dtype).parts()
    else:
        parts = folder_parts(source, device, dtype)
    _check_channels(source, parts.unet, parts.vae)
    thresholds = Thresholds.of(ref, regular=REGULAR, high=HIGH)
    network = Network(parts.unet, _prediction(parts.scheduler, source), thresholds)
    return StableDiffusion(network, parts.encoders, parts.vae, noise_of(parts.scheduler, source), library)


def _prediction(scheduler: Mapping[str, Any], source: Path) -> Prediction:
    value = scheduler.get("prediction_type") or "epsilon"
    if value not in PREDICTIONS:
        raise UnreadableWeights(f"{source}: {SCHEDULER}: prediction_type = {value!r}, not {', '.join(PREDICTIONS)}")
    return cast("Prediction", value)


def _check_channels(source: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> None:
    """Inpainting and editing variants take more channels than a latent has."""
    takes, has = unet.config.in_channels, vae.config.latent_channels
    if takes != has:
        raise UnreadableWeights(
            f"{source}: unet.in_channels = {takes}, but latents of this autoencoder have {has}; "
            "choose a text-to-image checkpoint"
        )
