"""Tiny checkpoints of the true architectures, random in such a way that a picture depends on every input.

Libraries initialise networks so that they start as next to nothing; a wrong prompt would then go unnoticed. Here every
weight has a fan-in scale that keeps activations alive, and decoders are scaled until their pictures have contrast.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
)

from tests.families.tokenizers import clip_tokenizer, t5_tokenizer

CLIP_LENGTH = 20  # tokens
T5_LENGTH = 24  # tokens
TRAINED: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
CONTRAST = 0.55  # standard deviation of decoded pictures of unit noise, of a range of 2


def enliven(network: torch.nn.Module, seed: int, gain: float = 1.0) -> None:
    """Weights by fan-in, embeddings and biases large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, torch.nn.Embedding)}
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in embeddings:
            parameter.data = noise
        elif parameter.ndim > 1:
            parameter.data = noise * gain / math.sqrt(parameter[0].numel())
        elif name.endswith("bias"):
            parameter.data = noise * 0.1
        else:
            parameter.data = 1 + noise * 0.1


@torch.no_grad()
def add_contrast(vae: AutoencoderKL) -> None:
    latents = torch.randn((4, vae.config.latent_channels, 8, 8), generator=torch.Generator().manual_seed(0))
    factor = CONTRAST / vae.decode(latents).sample.std()
    vae.decoder.conv_out.weight *= factor
    vae.decoder.conv_out.bias *= 0


def make_vae(latent_channels: int, **options: Any) -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=latent_channels,
        sample_size=64,
        **options,
    )
    enliven(vae, seed=1)
    add_contrast(vae)
    return vae


def clip_config(tokenizer: PreTrainedTokenizerBase, layers: int, **options: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": layers,
            "num_attention_heads": 1,
            "max_position_embeddings": CLIP_LENGTH,
            "projection_dim": 64,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **options,
        }
    )


def build_sd15(folder: Path, **options: Any) -> Path:
    tokenizer = clip_tokenizer(CLIP_LENGTH)
    clip = CLIPTextModel(clip_config(tokenizer, 2))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 32, 64),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=8,
        **options,
    )
    scheduler = PNDMScheduler(**{k: v for k, v in TRAINED.items() if k != "clip_sample"}, skip_prk_steps=True)
    return save_stable_diffusion(folder, unet, clip, tokenizer, scheduler)


def build_sd21(folder: Path) -> Path:
    """Predicts v, has linear projections, wide heads and a tokenizer that pads with another token."""
    tokenizer = clip_tokenizer(CLIP_LENGTH, pad="!")
    clip = CLIPTextModel(clip_config(tokenizer, 3, hidden_act="gelu"))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(64, 64, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=(1, 1, 2),
        use_linear_projection=True,
        upcast_attention=True,
    )
    return save_stable_diffusion(
        folder, unet, clip, tokenizer, DDIMScheduler(**TRAINED, prediction_type="v_prediction")
    )


def save_stable_diffusion(
    folder: Path, unet: UNet2DConditionModel, clip: CLIPTextModel, tokenizer: Any, scheduler: Any
) -> Path:
    enliven(unet, seed=2)
    enliven(clip, seed=3)
    pipeline = StableDiffusionPipeline(
        vae=make_vae(4, scaling_factor=0.18215),
        text_encoder=clip,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def build_sdxl(folder: Path) -> Path:
    first_tokenizer, second_tokenizer = clip_tokenizer(CLIP_LENGTH), clip_tokenizer(CLIP_LENGTH, pad="!")
    first = CLIPTextModel(clip_config(first_tokenizer, 3))
    second = CLIPTextModelWithProjection(clip_config(second_tokenizer, 3, hidden_act="gelu", projection_dim=64))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(64, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=128,
        attention_head_dim=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=64 + 6 * 32,
    )
    for seed, network in enumerate((unet, first, second), 4):
        enliven(network, seed)
    StableDiffusionXLPipeline(
        vae=make_vae(4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=first_tokenizer,
        tokenizer_2=second_tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            **{k: v for k, v in TRAINED.items() if k not in {"clip_sample", "set_alpha_to_one"}},
            timestep_spacing="leading",
        ),
    ).save_pretrained(folder)
    return folder


def build_flux(folder: Path, *, guidance_embeds: bool, **schedule: Any) -> Path:
    clip_words, t5_words = clip_tokenizer(CLIP_LENGTH), t5_tokenizer(T5_LENGTH)
    clip = CLIPTextModel(clip_config(clip_words, 2))
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5_words),
            d_model=48,
            d_kv=16,
            d_ff=96,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=48,
        pooled_projection_dim=64,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 14, 14),
    )
    for seed, network in enumerate((transformer, clip, t5), 7):
        enliven(network, seed)
    FluxPipeline(
        vae=make_vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip,
        text_encoder_2=t5,
        tokenizer=clip_words,
        tokenizer_2=t5_words,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(**schedule),
    ).save_pretrained(folder)
    return folder


def build_flux_schnell(folder: Path) -> Path:
    return build_flux(folder, guidance_embeds=False, shift=1.0)


def build_flux_dev(folder: Path) -> Path:
    return build_flux(folder, guidance_embeds=True, shift=3.0, use_dynamic_shifting=True)


BUILDERS = {
    "sd15": build_sd15,
    "sd21": build_sd21,
    "sdxl": build_sdxl,
    "flux-schnell": build_flux_schnell,
    "flux-dev": build_flux_dev,
}
FAMILY = {name: "flux" if name.startswith("flux") else "stable_diffusion" for name in BUILDERS}
