"""The weights in the package: an ordinary Flux folder, small, safe, and painting what is asked."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")

import laterna
from zoo.sprite import data, export, latents, networks, sheet, train, words

WEIGHTS = Path(laterna.__file__).parent / "models" / "sprite" / "weights"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    from diffusers import FluxPipeline

    loaded = FluxPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_the_folder_is_small_and_holds_no_pickle() -> None:
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= export.LIMIT
    assert {file.suffix for file in files} == {".json", ".safetensors"}


def test_the_pipeline_paints_the_backgrounds_asked_for(pipeline: Any) -> None:
    colours = list(data.BACKGROUNDS)
    pictures = pipeline(
        [f"a star on a {colour} background" for colour in colours],
        negative_prompt=[""] * len(colours),
        true_cfg_scale=2.0,
        height=data.SIZE,
        width=data.SIZE,
        num_inference_steps=10,
        max_sequence_length=words.LENGTH,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(colours))],
        output_type="pt",
    ).images
    assert sheet.backgrounds(pictures) == colours
    assert pictures.std() >= 0.1


def test_the_recipe_s_sampler_is_the_pipeline_s(pipeline: Any) -> None:
    painter = networks.Painter()
    painter.transformer, painter.sentence = pipeline.transformer, pipeline.text_encoder_2
    painter.caption = pipeline.text_encoder
    ours = train.paint(painter, [sheet.HERO], steps=4, seed=5)
    noise = torch.randn(1, 16, 128, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(
        sheet.HERO,
        negative_prompt="",
        true_cfg_scale=2.0,
        height=data.SIZE,
        width=data.SIZE,
        num_inference_steps=4,
        max_sequence_length=words.LENGTH,
        latents=noise,
        output_type="latent",
    ).images
    assert torch.allclose(latents.pack(ours), theirs, atol=1e-4)
