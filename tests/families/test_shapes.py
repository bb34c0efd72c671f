"""The architectures of the published models are read off the shapes of their single files, without a single weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from laterna.families.autoencoder import vae_config
from laterna.families.flux.original import transformer_config
from laterna.families.single_file import Shapes
from laterna.families.stable_diffusion import shapes
from tests.families import original_layouts as original

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UNETS: dict[str, dict[str, Any]] = {
    "1.5": {
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": [CROSS, CROSS, CROSS, PLAIN],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "2.1": {
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": [CROSS, CROSS, CROSS, PLAIN],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "xl": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": [PLAIN, CROSS, CROSS],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
CLIPS = {
    "L": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "H": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16},
    "bigG": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20},
}


def shapes_of(state: original.State) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def state_of(kind: Any, config: Any) -> original.State:
    with torch.device("meta"):
        network = kind(config) if isinstance(config, CLIPTextConfig) else kind.from_config(config)
    state: original.State = network.state_dict()
    return state


@pytest.mark.parametrize("name", UNETS)
def test_unets(name: str) -> None:
    published = UNETS[name]
    found_shapes = dict(shapes_of(original.unet(state_of(UNet2DConditionModel, published), layers=2)))
    found_shapes[shapes.XL_POOLED] = (1280, 1280)
    found = shapes.unet_config(found_shapes)
    assert {key: found[key] for key in published} == published
    assert (found["in_channels"], found["out_channels"], found["layers_per_block"]) == (4, 4, 2)
    assert shapes.is_xl(found_shapes) == (name == "xl")
    assert shapes.scheduler_config(found_shapes)["prediction_type"] == ("v_prediction" if name == "2.1" else "epsilon")
    assert shapes_of(state_of(UNet2DConditionModel, found)) == shapes_of(state_of(UNet2DConditionModel, published))


@pytest.mark.parametrize(("channels", "quantised"), [(4, True), (16, False)])
def test_autoencoders(channels: int, quantised: bool) -> None:
    published: dict[str, Any] = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": channels,
        "use_quant_conv": quantised,
        "use_post_quant_conv": quantised,
    }
    written = original.vae(state_of(AutoencoderKL, published), "vae.")
    assert vae_config(shapes_of(written), "vae.", scaling_factor=0.5) == {**published, "scaling_factor": 0.5}


@pytest.mark.parametrize("name", CLIPS)
def test_text_encoders(name: str) -> None:
    sizes = {**CLIPS[name], "vocab_size": 49408, "max_position_embeddings": 77}
    if name == "L":
        state = original.clip(state_of(CLIPTextModel, CLIPTextConfig(**sizes)), "first.")
        found = shapes.clip_config(shapes_of(state), "first.text_model.")
    else:
        projection = sizes["hidden_size"]
        config = CLIPTextConfig(**{**sizes, "projection_dim": projection})
        state = original.open_clip(state_of(CLIPTextModelWithProjection, config), "second.")
        found = shapes.open_clip_config(shapes_of(state), "second.", unused_layers=0)
        assert found["projection_dim"] == projection
    assert {key: found[key] for key in sizes} == sizes


@pytest.mark.parametrize("guided", [False, True])
def test_flux(guided: bool) -> None:
    published = {"num_layers": 19, "num_single_layers": 38, "guidance_embeds": guided, "axes_dims_rope": (16, 56, 56)}
    sizes = {"attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096, "in_channels": 64}
    sizes["pooled_projection_dim"] = 768
    written = original.flux(state_of(FluxTransformer2DModel, {**published, **sizes}))
    assert transformer_config(shapes_of(written)) == {**published, **sizes}
