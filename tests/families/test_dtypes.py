"""Every type of numbers that a family may compute in is exact enough: its pictures are those of float32, to a bound.

The bound is of the mean over a picture: a pixel at an edge may move further. Flux is measured on the trained
model alone: in bfloat16 it is told timesteps that are rounded, which networks of chance see as quite another noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from laterna.contracts.generation import ModelRef, TextToImage
from laterna.contracts.traits import TRAITS
from laterna.families import load_family
from laterna.families.family import Picture
from tests.families.checkpoints import FAMILY, T5_LENGTH
from tests.families.drive import CPU, paint

MEAN = {"bfloat16": 2.0, "float16": 0.3}  # of 255, between a picture and the one in float32
MODELS = {name: family for name, family in FAMILY.items() if family != "flux"} | {"builtin:sprite": "flux"}
NARROW = [(name, dtype) for name, family in MODELS.items() for dtype in TRAITS[family].dtypes if dtype != "float32"]


@pytest.mark.parametrize(("name", "dtype"), NARROW)
def test_pictures_are_those_of_float32(name: str, dtype: str, checkpoint: Callable[[str], Path]) -> None:
    weights = name if name.startswith("builtin:") else f"path:{checkpoint(name)}"
    wanted, found = (pictures(MODELS[name], weights, kind) for kind in ("float32", dtype))
    assert np.isfinite(found).all()
    assert np.abs(found - wanted).mean() <= MEAN[dtype]


def pictures(family: str, weights: str, dtype: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    settings: dict[str, str | int | float | bool] = {"max_sequence_length": T5_LENGTH} if family == "flux" else {}
    ref = ModelRef(id="test/m", revision="1", family=family, weights=weights, settings=settings, resident_bytes=1)
    loaded = load_family(ref, CPU, getattr(torch, dtype))
    sampler = "flow_euler" if family == "flux" else "euler"
    jobs = [
        TextToImage(prompt="a red fox", width=64, height=64, steps=4, cfg_scale=2.0, sampler=sampler, seed=seed)
        for seed in range(2)
    ]
    made: list[Picture] = [paint(loaded, job)[0] for job in jobs]
    return np.stack(made).astype(np.float64)
