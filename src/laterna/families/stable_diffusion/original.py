"""A checkpoint in the original single-file layout: UNet, autoencoder and text encoders, all from the one file.

Tokenizers come from the configuration folder, and so does the scheduler's configuration where it is there; without it
2.x is taken to predict v, which holds for 2.1 and not for 2.1-base: that one needs its scheduler folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from laterna.errors import UnreadableWeights
from laterna.families.autoencoder import load_vae, vae_config
from laterna.families.components import load_tokenizer
from laterna.families.single_file import FAULTS, SingleFile, State
from laterna.families.stable_diffusion import shapes as known
from laterna.families.stable_diffusion.conditioning import Encoders, OneEncoder, TwoEncoders
from laterna.families.stable_diffusion.parts import Parts, vae_dtype
from laterna.families.text import text_length
from laterna.families.training_noise import SCHEDULER, read_scheduler

V1_CLIP = "cond_stage_model.transformer."
V2_CLIP = "cond_stage_model.model."
XL_FIRST = "conditioner.embedders.0.transformer."
XL_SECOND = "conditioner.embedders.1.model."


class Original:
    """Reads one file onto one device."""

    def __init__(self, path: Path, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self._file = SingleFile(path)
        self._folder = folder
        self._device = device
        self._dtype = dtype

    def parts(self) -> Parts:
        """Raises UnreadableWeights for a file of another layout or lacking tensors, MissingWeights for tokenizers."""
        shapes = self._file.shapes
        try:
            unet, vae = known.unet_config(shapes), self._vae_config()
        except FAULTS as error:
            raise UnreadableWeights(
                f"{self._file.path}: not a checkpoint in the original Stable Diffusion layout ({error!r}); "
                "name a folder in the diffusers layout instead"
            ) from error
        return Parts(
            unet=self._unet(unet),
            vae=self._vae(vae),
            encoders=self._two() if known.is_xl(shapes) else self._one(),
            scheduler=self._scheduler(),
        )

    def _unet(self, config: known.Config) -> UNet2DConditionModel:
        def convert(state: State, network: Any) -> State:
            return dict(convert_ldm_unet_checkpoint(state, config))

        def make() -> UNet2DConditionModel:
            return UNet2DConditionModel.from_config(config)

        return self._file.part("UNet", known.UNET, make, convert, self._device, self._dtype)

    def _vae_config(self) -> known.Config:
        xl = known.is_xl(self._file.shapes)
        scaling = known.XL_SCALING if xl else known.SCALING
        return vae_config(self._file.shapes, known.VAE, scaling_factor=scaling, force_upcast=True)

    def _vae(self, config: known.Config) -> AutoencoderKL:
        return load_vae(self._file, known.VAE, config, self._device, vae_dtype(config, self._dtype))

    def _one(self) -> Encoders:
        if f"{V2_CLIP}token_embedding.weight" in self._file.shapes:
            # 2.x reads the states before the last layer, which is simply left out.
            clip = self._open_clip(CLIPTextModel, V2_CLIP, unused_layers=1)
        else:
            clip = self._clip(V1_CLIP)
        tokenizer = load_tokenizer(self._folder, "tokenizer")
        length = text_length(tokenizer, clip.config.max_position_embeddings)
        return OneEncoder(clip=clip, tokenizer=tokenizer, length=length)

    def _two(self) -> Encoders:
        first = self._clip(XL_FIRST)
        tokenizer = load_tokenizer(self._folder, "tokenizer")
        return TwoEncoders(
            first=first,
            first_tokenizer=tokenizer,
            second=self._open_clip(CLIPTextModelWithProjection, XL_SECOND, unused_layers=0),
            second_tokenizer=load_tokenizer(self._folder, "tokenizer_2"),
            length=text_length(tokenizer, first.config.max_position_embeddings),
            zeros_for_empty=True,
        )

    def _clip(self, prefix: str) -> CLIPTextModel:
        def make() -> CLIPTextModel:
            return CLIPTextModel(CLIPTextConfig(**known.clip_config(self._file.shapes, f"{prefix}text_model.")))

        def convert(state: State, network: Any) -> State:
            return _unwrapped(convert_ldm_clip_checkpoint(state), network)

        return self._file.part("text encoder", prefix, make, convert, self._device, self._dtype)

    def _open_clip(self, kind: Any, prefix: str, *, unused_layers: int) -> Any:
        def make() -> Any:
            config = known.open_clip_config(self._file.shapes, prefix, unused_layers=unused_layers)
            return kind(CLIPTextConfig(**config))

        def convert(state: State, network: Any) -> State:
            return _unwrapped(convert_open_clip_checkpoint(network, state, prefix=prefix), network)

        return self._file.part("text encoder", prefix, make, convert, self._device, self._dtype)

    def _scheduler(self) -> dict[str, Any]:
        if (self._folder / SCHEDULER).exists():
            return read_scheduler(self._folder)
        return known.scheduler_config(self._file.shapes)


def _unwrapped(state: State, network: Any) -> State:
    """Names as the installed transformers has them: some releases wrap the text model, some do not."""
    if hasattr(network, "text_model"):
        return dict(state)
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
