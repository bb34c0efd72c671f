"""What clients may ask of image endpoints: fal's field names, defaults and limits.

A card narrows these per field (`laterna.contracts.narrow`). Fields of fal's schemas that have no meaning here are
accepted; those that would change the picture and cannot be honoured are refused by name. Unknown fields are ignored, as
fal does.

Source: the endpoint types of `@fal-ai/client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from laterna.contracts.loras import Loras
from laterna.contracts.sizes import ImageSize, SizeLimits, size_type

PROMPT_CHARACTERS = 4000
MOST_IMAGES = 8
LARGEST_SEED = 2**63 - MOST_IMAGES  # sample i uses seed + i, which has to fit 63 bits


def _unsupported(value: Any) -> Any:
    """Refuse a field of fal's schema that would change the picture if it were honoured."""
    if value:
        raise PydanticCustomError("feature_not_supported", "This model does not support this field; leave it out")
    return value


if TYPE_CHECKING:
    Size = ImageSize | str
else:
    Size = size_type(SizeLimits())
Unsupported = AfterValidator(_unsupported)
Prompt = Annotated[str, Field(max_length=PROMPT_CHARACTERS)]
Count = Annotated[int, Field(ge=1, le=MOST_IMAGES)]
Seed = Annotated[int | None, Field(ge=0, le=LARGEST_SEED)]
Acceleration = Literal["none", "regular", "high"]
ACCELERATION = "Faster by reusing features between steps, the more the less exact. `none` is exact."
SAFETY = "Check the images for nudity; one that is flagged is black, and `has_nsfw_concepts` says so."
Sampler = Literal["ddim", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_ancestral", "lcm", "unipc"] | None


class TextToImageInput(BaseModel):
    """What every text-to-image endpoint takes."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, validate_default=True)

    prompt: Prompt = Field(description="What the image should show.", examples=["a red fox on a teal background"])
    image_size: Size = Field("square_hd", description="The size of the generated image.")
    num_inference_steps: int = Field(25, ge=1, le=50, description="The number of denoising steps.")
    seed: Seed = Field(None, description="The same seed and the same input make the same image. Random when absent.")
    num_images: Count = Field(1, description="The number of images to generate.")
    loras: Loras = Field([], description="LoRA weights that change the model; all act at once.")
    sync_mode: bool = Field(False, description="Return the images as data URIs and keep nothing of them.")
    enable_safety_checker: bool = Field(True, description=SAFETY)


class FluxTextToImage(TextToImageInput):
    """flux/dev and flux/schnell."""

    image_size: Size = Field("landscape_4_3", description="The size of the generated image.")
    num_inference_steps: int = Field(28, ge=1, le=50, description="The number of denoising steps.")
    guidance_scale: float = Field(3.5, ge=1, le=20, description="How closely the image follows the prompt.")
    num_images: Annotated[int, Field(ge=1, le=4)] = Field(1, description="The number of images to generate.")
    output_format: Literal["jpeg", "png"] = Field("jpeg", description="The format of the generated image.")
    acceleration: Acceleration = Field("none", description=ACCELERATION)


class StableDiffusionTextToImage(TextToImageInput):
    """fast-sdxl, stable-diffusion-v15 and their relatives."""

    negative_prompt: Prompt = Field("", description="What the image should not show.")
    guidance_scale: float = Field(7.5, ge=0, le=20, description="How closely the image follows the prompt.")
    format: Literal["jpeg", "png"] = Field("jpeg", description="The format of the generated image.")
    embeddings: Annotated[list[Any], Unsupported] = Field([], description="Embeddings: not supported here yet.")
    expand_prompt: Annotated[bool, Unsupported] = Field(False, description="Not supported here.")
    sampler: Sampler = Field(None, description="The sampler; the model's own when absent. No field of fal's.")
    acceleration: Acceleration = Field("none", description=f"{ACCELERATION} No field of fal's here.")
    safety_checker_version: Literal["v1", "v2"] = Field("v1", description="Accepted for compatibility.")
    request_id: str | None = Field("", description="Accepted for compatibility: ids are given by the queue.")


class SpriteTextToImage(TextToImageInput):
    """The built-in model: one size, classifier-free guidance."""

    image_size: Size = Field(ImageSize(width=64, height=64), description="The size of the generated image.")
    negative_prompt: Prompt = Field("", description="What the image should not show.")
    num_inference_steps: int = Field(20, ge=1, le=50, description="The number of denoising steps.")
    guidance_scale: float = Field(2.0, ge=1, le=10, description="How closely the image follows the prompt.")
    output_format: Literal["png", "jpeg", "webp"] = Field("png", description="The format of the generated image.")
    acceleration: Acceleration = Field("none", description=ACCELERATION)
    enable_safety_checker: bool = Field(False, description=f"{SAFETY} This model paints symbols: off unless wanted.")
