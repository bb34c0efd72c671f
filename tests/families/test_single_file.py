"""Checkpoints written as single files in their authors' layout paint the very pictures of their diffusers folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

from laterna.contracts.generation import TextToImage
from laterna.errors import ConfigError, MissingWeights, UnreadableWeights, UnsafeWeights
from laterna.families.family import Family
from laterna.families.flux.original import to_diffusers
from tests.families import original_layouts as original
from tests.families.drive import load, paint

Checkpoint = Callable[[str], Path]
Model = Callable[[str], Family]
WRITERS = {"sd15": original.write_sd15, "sd21": original.write_sd21, "sdxl": original.write_sdxl}


def job(sampler: str) -> TextToImage:
    return TextToImage(
        prompt="an ox", negative_prompt="red", width=64, height=64, steps=3, cfg_scale=4.0, sampler=sampler, seed=5
    )


def assert_same(one: Family, other: Family, sampler: str) -> None:
    ours, theirs = paint(one, job(sampler))[0], paint(other, job(sampler))[0]
    assert theirs.std() > 25
    assert np.array_equal(ours, theirs)
    assert one.resident_bytes == other.resident_bytes


@pytest.mark.parametrize("name", WRITERS)
def test_diffusion_beside_its_tokenizers(name: str, checkpoint: Checkpoint, model: Model, tmp_path: Path) -> None:
    """No configuration but that of the tokenizers: all else is in the file or known."""
    path = WRITERS[name](checkpoint(name), tmp_path / "model.safetensors")
    tokenizers = ("tokenizer", "tokenizer_2") if name == "sdxl" else ("tokenizer",)
    original.copy_parts(checkpoint(name), tmp_path, *tokenizers)
    assert_same(load("stable_diffusion", path), model(name), "euler")


def test_a_scheduler_beside_the_file_counts(checkpoint: Checkpoint, model: Model, tmp_path: Path) -> None:
    path = original.write_sd21(checkpoint("sd21"), tmp_path / "model.safetensors")
    original.copy_parts(checkpoint("sd21"), tmp_path, "tokenizer", "scheduler")
    config = tmp_path / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("v_prediction", "epsilon"))
    painted = paint(load("stable_diffusion", path), job("euler"))[0]
    assert not np.array_equal(painted, paint(model("sd21"), job("euler"))[0])


def test_the_config_folder_may_be_elsewhere(checkpoint: Checkpoint, model: Model, tmp_path: Path) -> None:
    path = original.write_sd15(checkpoint("sd15"), tmp_path / "model.safetensors")
    assert_same(load("stable_diffusion", path, config=str(checkpoint("sd15"))), model("sd15"), "ddim")
    with pytest.raises(MissingWeights, match=r"tokenizer: there is no such folder.*settings\.config"):
        load("stable_diffusion", path)
    with pytest.raises(ConfigError, match=r"settings\.config.*'nowhere'"):
        load("stable_diffusion", path, config="nowhere")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("name", ["flux-schnell", "flux-dev"])
def test_flux(name: str, prefix: str, checkpoint: Checkpoint, model: Model, tmp_path: Path) -> None:
    """The transformer as one file, the autoencoder as another, without a scheduler's configuration."""
    source = checkpoint(name)
    path = original.write(original.flux(original.read(source, "transformer"), prefix), tmp_path / "flux1.safetensors")
    original.write(original.vae(original.read(source, "vae"), ""), tmp_path / "ae.safetensors")
    original.copy_parts(source, tmp_path, "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    assert_same(load("flux", path), model(name), "flow_euler")


def test_flux_names_are_those_of_diffusers() -> None:
    """At the published width, which diffusers' own conversion has built in; one column of each matrix is enough."""
    width, generator = 3072, torch.Generator().manual_seed(0)

    def weights(rows: int) -> torch.Tensor:
        return torch.randn(rows, 1, generator=generator)

    outer = ["img_in", "txt_in", "time_in.in_layer", "time_in.out_layer", "vector_in.in_layer", "vector_in.out_layer"]
    outer += ["guidance_in.in_layer", "guidance_in.out_layer", "final_layer.linear"]
    rows = dict.fromkeys(outer, width) | {"final_layer.adaLN_modulation.1": 2 * width}
    for side in ("img", "txt"):
        rows |= {f"double_blocks.0.{side}_{part}": width for part in ("mod.lin", "attn.proj", "mlp.0", "mlp.2")}
        rows[f"double_blocks.0.{side}_attn.qkv"] = 3 * width
    rows |= {"single_blocks.0.modulation.lin": width, "single_blocks.0.linear1": 7 * width}
    rows["single_blocks.0.linear2"] = width
    state = {f"{name}.{leaf}": weights(count) for name, count in rows.items() for leaf in ("weight", "bias")}
    for norm in ("double_blocks.0.img_attn.norm", "double_blocks.0.txt_attn.norm", "single_blocks.0.norm"):
        state |= {f"{norm}.{which}_norm.scale": weights(128) for which in ("query", "key")}
    theirs = convert_flux_transformer_checkpoint_to_diffusers(dict(state))
    ours = to_diffusers(dict(state))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_half_precision_files_are_widened(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = original.write_sd15(checkpoint("sd15"), tmp_path / "full.safetensors")
    half = {name: tensor.half() for name, tensor in original.load(path).items()}
    narrow = original.write(half, tmp_path / "half.safetensors")
    loaded = load("stable_diffusion", narrow, config=str(checkpoint("sd15")))
    assert loaded.resident_bytes == load("stable_diffusion", path, config=str(checkpoint("sd15"))).resident_bytes
    assert paint(loaded, job("euler"))[0].std() > 25


@pytest.mark.parametrize("family", ["stable_diffusion", "flux"])
def test_a_file_of_another_layout_is_refused(family: str, tmp_path: Path) -> None:
    path = original.write({"something.else": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UnreadableWeights, match=r"other\.safetensors.*diffusers layout"):
        load(family, path)


@pytest.mark.parametrize(
    "lost",
    [
        "model.diffusion_model.middle_block.0.in_layers.0.weight",
        "first_stage_model.decoder.conv_out.bias",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ],
)
def test_a_missing_tensor_is_named(lost: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = original.write_sd15(checkpoint("sd15"), tmp_path / "model.safetensors")
    state = original.load(path)
    del state[lost]
    original.write(state, path)
    with pytest.raises(UnreadableWeights, match=r"model\.safetensors"):
        load("stable_diffusion", path, config=str(checkpoint("sd15")))


@pytest.mark.parametrize("family", ["stable_diffusion", "flux"])
def test_pickle_is_refused_by_its_name_and_by_its_bytes(family: str, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.ckpt")
    with pytest.raises(UnsafeWeights, match=r"model\.ckpt is pickle"):
        load(family, tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt").rename(tmp_path / "model.safetensors")
    with pytest.raises(UnreadableWeights, match=r"model\.safetensors: not readable as"):
        load(family, tmp_path / "model.safetensors")
