"""Cards narrow a contract's input; a wrong override is refused when the card is read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from laterna.contracts.inputs import FluxTextToImage
from laterna.contracts.narrow import narrowed


def test_overrides_replace_bounds_and_defaults_and_nothing_else() -> None:
    fields: dict[str, dict[str, Any]] = {
        "num_inference_steps": {"default": 4, "le": 12},
        "output_format": {"choices": ["png"], "default": "png"},
    }
    model = narrowed(FluxTextToImage, fields)
    made = model.model_validate({"prompt": "x"})
    assert (made.num_inference_steps, made.output_format, made.guidance_scale) == (4, "png", 3.5)
    for wrong in ({"num_inference_steps": 13}, {"num_inference_steps": 0}, {"output_format": "jpeg"}):
        with pytest.raises(ValidationError):
            model.model_validate({"prompt": "x", **wrong})
    assert FluxTextToImage.model_validate({"prompt": "x", "num_inference_steps": 13}).num_inference_steps == 13


def test_a_raised_bound_is_raised() -> None:
    model = narrowed(FluxTextToImage, {"prompt": {"max_length": 5000}, "num_images": {"le": 8}})
    assert model.model_validate({"prompt": "x" * 5000, "num_images": 8}).num_images == 8


def test_order_of_fields_is_kept() -> None:
    model = narrowed(FluxTextToImage, {"guidance_scale": {"default": 2.0}, "prompt": {"max_length": 10}})
    assert list(model.model_fields) == list(FluxTextToImage.model_fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": {"default": 4}}, "'steps' is no field of FluxTextToImage"),
        ({"num_images": {"maximum": 4}}, r"num_images.maximum is not known; known: default, ge, le"),
        ({"num_images": {"default": 9}}, "num_images: Input should be less than or equal to 4"),
        ({"image_size": {"default": "square_hd", "le": 512}}, "image_size: Input should be 'square', or"),
        ({"image_size": {"ge": 512, "le": 256}}, "multiple_of <= ge <= le"),
        ({"image_size": {"max_length": 1}}, "image_size.max_length is not known"),
    ],
)
def test_wrong_overrides_are_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        narrowed(FluxTextToImage, fields)
