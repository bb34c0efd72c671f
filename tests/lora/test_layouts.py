"""One adapter, written in every layout, is read as the same factors of the same layers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from laterna.families.flux.original import original_names as flux_names
from laterna.families.flux.original import to_diffusers
from laterna.families.stable_diffusion.names import original_names as unet_names
from laterna.lora.adapter import Adapter, fit
from laterna.lora.layers import Layers, Place
from laterna.lora.reading import AdapterFile
from tests.lora.making import Adapter as Made
from tests.lora.making import Tensors, factors, kohya, make, old_diffusers, peft
from tests.lora.networks import flux_layers, flux_networks, unet_layers, unet_networks

ENCODERS = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}


def read(tensors: Tensors, layers: Layers, config: Mapping[str, Any] | None = None, **header: str) -> Adapter:
    return fit(AdapterFile(tensors=tensors, metadata=header, config=config or {}), layers)


def deltas(adapter: Adapter) -> dict[Place, torch.Tensor]:
    """What each layer's weight would change by."""
    return {
        place: (found.up @ found.down.flatten(1)).view(-1, *found.down.shape[1:])
        for place, found in adapter.factors.items()
    }


def wanted(made: Made) -> dict[Place, torch.Tensor]:
    return {
        Place(part=part, name=layer): (m.up.flatten(1) @ m.down.flatten(1)).view(-1, *m.down.shape[1:])
        * m.alpha
        / len(m.down)
        for (part, layer), m in made.items()
    }


def assert_same(adapter: Adapter, made: Made) -> None:
    ours, theirs = deltas(adapter), wanted(made)
    assert ours.keys() == theirs.keys()
    for place, delta in theirs.items():
        torch.testing.assert_close(ours[place], delta, rtol=1e-4, atol=1e-6)
    assert adapter.unmatched == ()
    assert adapter.remark() is None


def plain(networks: Mapping[str, nn.Module], only: str = "") -> Made:
    """With alpha equal to the rank, for layouts that do not say it."""
    return make(networks, 1, rank=4, only=only)


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
@pytest.mark.parametrize("infix", ["", ".default"])
def test_peft(prefix: str, infix: str) -> None:
    made = plain(unet_networks())
    assert_same(read(peft(made, prefix, infix), unet_layers()), made)


@pytest.mark.parametrize("prefix", ["", "base_model.model.", "diffusion_model.", "model.diffusion_model."])
def test_the_denoiser_may_go_unnamed(prefix: str) -> None:
    for networks, layers in ((unet_networks(), unet_layers()), (flux_networks(), flux_layers())):
        part = next(iter(networks))
        made = plain({part: networks[part]})
        bare = {f"{prefix}{key.removeprefix(f'{part}.')}": tensor for key, tensor in peft(made).items()}
        assert_same(read(bare, layers), made)


def test_kohya_has_strengths() -> None:
    made = make(unet_networks(), 1, rank=4, alpha=1.0)
    assert_same(read(kohya(made, ENCODERS), unet_layers()), made)
    one = make({"text_encoder": unet_networks()["text_encoder"]}, 1, rank=4, alpha=3.0)
    assert_same(read(kohya(one, {"text_encoder": "lora_te_"}), unet_layers()), one)


def test_kohya_in_the_names_of_the_authors() -> None:
    made = make({"unet": unet_networks()["unet"]}, 1, rank=4, alpha=2.0)
    names = {found.layers[0]: name for name, found in unet_names(unet_networks()["unet"]).items()}
    assert names.keys() >= {layer for _, layer in made}, "a layer has no name in the original layout"
    assert_same(read(kohya(made, {}, names), unet_layers()), made)


def test_the_encoders_of_flux() -> None:
    made = make({part: n for part, n in flux_networks().items() if part != "transformer"}, 1, alpha=2.0)
    for second in ("lora_te2_", "lora_te3_"):
        assert_same(read(kohya(made, {"text_encoder": "lora_te1_", "text_encoder_2": second}), flux_layers()), made)


def test_attention_processors() -> None:
    made = plain(unet_networks(), only="to_q to_k to_v to_out self_attn mlp")
    assert_same(read(old_diffusers(made), unet_layers()), made)


@pytest.mark.parametrize("kohyas", [False, True])
def test_fused_layers_of_flux(kohyas: bool) -> None:
    """Layer by layer the split of the product is the split that the family's own reader makes of weights."""
    transformer, layers = flux_networks()["transformer"], flux_layers()
    generator = torch.Generator().manual_seed(3)
    fused: Made = {}
    weights: Tensors = {"img_in.weight": torch.zeros(32, 16)}
    modules = dict(transformer.named_modules())
    for name, found in flux_names(transformer).items():
        parts = [part for layer in found.layers if isinstance(part := modules.get(layer), nn.Linear)]
        if len(parts) == len(found.layers):
            whole = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts))
            fused["transformer", name] = factors(whole, 4, generator, 2.0)
            weights[f"{name}.weight"] = wanted({("", name): fused["transformer", name]})[Place(part="", name=name)]
    if kohyas:
        adapter = read(kohya(fused, {}), layers)
    else:
        halves = peft(fused)
        renamed = {key.replace("transformer.", "diffusion_model.", 1): tensor for key, tensor in halves.items()}
        adapter = read(renamed, layers, {"lora_alpha": 2.0})
    split = to_diffusers(weights)
    ours = deltas(adapter)
    assert len(fused) > 20
    assert {f"{place.name}.weight" for place in ours} == split.keys()
    for place, delta in ours.items():
        torch.testing.assert_close(delta, split[f"{place.name}.weight"], rtol=1e-4, atol=1e-6)


def test_strengths_of_metadata_and_of_pefts_configuration() -> None:
    made = plain({"unet": unet_networks()["unet"]}, only="to_q to_k")
    config = {"lora_alpha": 8, "alpha_pattern": {"attn1.to_q": 2}}
    flat = {f"unet.{key}": value for key, value in config.items()}
    by_header = read(peft(made), unet_layers(), lora_adapter_metadata=json.dumps(flat))
    by_file = read(peft(made), unet_layers(), config)
    for place, delta in wanted(made).items():
        scale = 0.5 if place.name.endswith("attn1.to_q") else 2.0
        for adapter in (by_header, by_file):
            torch.testing.assert_close(deltas(adapter)[place], delta * scale, rtol=1e-4, atol=1e-6)
    rooted = read(peft(made), unet_layers(), {"lora_alpha": 8, "use_rslora": True})
    place, delta = next(iter(wanted(made).items()))
    torch.testing.assert_close(deltas(rooted)[place], delta * 8 / math.sqrt(4), rtol=1e-4, atol=1e-6)


def test_convolutions_of_one_pixel_and_linear_layers_take_each_others_factors() -> None:
    made = plain({"unet": unet_networks()["unet"]}, only="proj_in")
    wide = {key: tensor[:, :, None, None] for key, tensor in peft(made).items()}
    assert_same(read(wide, unet_layers()), made)
