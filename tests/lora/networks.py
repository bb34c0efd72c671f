"""Small networks of the true architectures, of which only names and shapes of layers matter."""

from __future__ import annotations

from functools import cache

from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from laterna.families.flux.original import original_names as flux_names
from laterna.families.stable_diffusion.names import original_names as unet_names
from laterna.lora.layers import Layers


def clip() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=1)
    )


@cache
def unet_networks() -> dict[str, nn.Module]:
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        cross_attention_dim=32,
        attention_head_dim=8,
        use_linear_projection=True,
    )
    return {"unet": unet, "text_encoder": clip(), "text_encoder_2": clip()}


@cache
def flux_networks() -> dict[str, nn.Module]:
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    t5 = T5EncoderModel(T5Config(vocab_size=64, d_model=24, d_kv=8, d_ff=48, num_layers=1, num_heads=2))
    return {"transformer": transformer, "text_encoder": clip(), "text_encoder_2": t5}


@cache
def unet_layers() -> Layers:
    networks = unet_networks()
    return Layers(networks, unet_names(networks["unet"]))


@cache
def flux_layers() -> Layers:
    networks = flux_networks()
    return Layers(networks, flux_names(networks["transformer"]))
