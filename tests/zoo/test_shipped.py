"""The weights in the package: an ordinary Flux folder, small, safe, and painting what is asked."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")

import laterna
from zoo.sprite import colours, export, sheet

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
    side = 8 * pipeline.vae_scale_factor  # sixteen tokens of two by two
    pictures = pipeline(
        [f"a star on a {colour} background" for colour in colours.NAMES],
        negative_prompt=[""] * len(colours.NAMES),
        true_cfg_scale=2.0,
        height=side,
        width=side,
        num_inference_steps=10,
        max_sequence_length=16,
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(colours.NAMES))],
        output_type="pt",
    ).images
    assert tuple(sheet.backgrounds(pictures)) == colours.NAMES
    assert pictures.std() >= 0.1
