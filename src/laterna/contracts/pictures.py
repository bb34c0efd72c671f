"""The contracts of text-to-image endpoints: typed input to `TextToImage`, finished files to fal's image output."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from laterna.contracts.contract import MadeFile, Overrides, Settings
from laterna.contracts.generation import Generation, Lora, TextToImage
from laterna.contracts.inputs import FluxTextToImage, SpriteTextToImage, StableDiffusionTextToImage, TextToImageInput
from laterna.contracts.narrow import SIZE, narrowed, size_limits
from laterna.contracts.outputs import ImagesOutput
from laterna.contracts.problems import invalid
from laterna.contracts.sizes import pixels
from laterna.contracts.traits import TRAITS, Traits, most_steps
from laterna.errors import InvalidInput, Problem

RANDOM_SEEDS = 2**32  # chosen seeds lie below, so that every client's numbers hold them exactly
GUIDANCE = ("embedded", "classifier_free", "none")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A contract for pictures from words.

    Of a card's settings it reads `sampler`, the name of a sampler; `guidance`: whether `guidance_scale` goes to the
    network as an `embedded` number, is the scale of `classifier_free` guidance, or has no effect (`none`); and, for
    models that make one size alone, `size` in pixels.
    """

    input: type[TextToImageInput]
    output: type[BaseModel] = ImagesOutput
    grain: int = 8  # pixels; sides are rounded down to multiples of it
    sampler: str = ""
    guidance: str = "none"

    def narrow(self, fields: Overrides, settings: Settings, family: str = "") -> Pictures:
        guidance, sampler = settings.get("guidance"), settings.get("sampler")
        if guidance not in GUIDANCE:
            raise ValueError(f"settings.guidance = {guidance!r}: expected one of {', '.join(GUIDANCE)}")
        if not isinstance(sampler, str) or not sampler:
            raise ValueError(f"settings.sampler = {sampler!r}: expected the name of a sampler")
        fields = {**_fixed_size(settings), **fields}
        if family in TRAITS:
            fields = self._within(TRAITS[family], family, fields, sampler)
        return replace(
            self,
            input=narrowed(self.input, fields),
            grain=size_limits(fields).grain,
            sampler=sampler,
            guidance=str(guidance),
        )

    def _within(self, traits: Traits, family: str, fields: Overrides, sampler: str) -> Overrides:
        """The overrides, completed and checked by what the family takes."""
        if sampler not in traits.samplers:
            raise ValueError(f"settings.sampler = {sampler!r}: family {family!r} takes {', '.join(traits.samplers)}")
        size = {"multiple_of": traits.grain, **fields.get(SIZE, {})}
        step, is_fixed = size["multiple_of"], "ge" in size and size["ge"] == size.get("le")
        if step % traits.grain and not is_fixed:
            raise ValueError(f"{SIZE}.multiple_of = {step!r}: family {family!r} needs multiples of {traits.grain}")
        completed = {**fields, SIZE: size}
        if not traits.adapters:
            completed["loras"] = {"max_length": 0}
        if "sampler" in self.input.model_fields:
            completed["sampler"] = offered = {"choices": traits.samplers, **fields.get("sampler", {})}
            if wrong := set(offered["choices"]) - set(traits.samplers):
                raise ValueError(f"sampler.choices: {family!r} takes {', '.join(traits.samplers)}, not {sorted(wrong)}")
        return completed

    def parse(self, body: object) -> TextToImageInput:
        try:
            asked = self.input.model_validate(body)
        except ValidationError as error:
            raise invalid(error) from error
        self._check_steps(asked)
        return asked

    def _check_steps(self, asked: TextToImageInput) -> None:
        """Raises InvalidInput for more steps than the sampler has, which the one that was asked for may lower."""
        sampler, found = self._sampler(asked), asked.num_inference_steps
        most = most_steps(sampler)
        if found > most:
            why = f"Input should be less than or equal to {most} with the sampler {sampler!r}"
            where = ("body", "num_inference_steps")
            raise InvalidInput(Problem(loc=where, msg=why, type="less_than_equal", input=found, ctx={"le": most}))

    def _sampler(self, asked: BaseModel) -> str:
        return getattr(asked, "sampler", None) or self.sampler

    def normalise(self, asked: BaseModel, seed: int | None = None) -> TextToImage:
        assert isinstance(asked, TextToImageInput)
        width, height = pixels(asked.image_size, self.grain)
        scale = float(getattr(asked, "guidance_scale", 1.0))
        chosen = secrets.randbelow(RANDOM_SEEDS) if seed is None else seed
        return TextToImage(
            prompt=asked.prompt,
            negative_prompt=getattr(asked, "negative_prompt", ""),
            width=width,
            height=height,
            steps=asked.num_inference_steps,
            cfg_scale=scale if self.guidance == "classifier_free" else 1.0,
            guidance=scale if self.guidance == "embedded" else None,
            sampler=self._sampler(asked),
            seed=chosen if asked.seed is None else asked.seed,
            acceleration=getattr(asked, "acceleration", "none"),
            count=asked.num_images,
            loras=tuple(Lora(path=one.path, scale=one.scale) for one in asked.loras),
            image_format=str(getattr(asked, "output_format", None) or getattr(asked, "format", "png")),
            inline=asked.sync_mode,
            safety=asked.enable_safety_checker,
        )

    def result(self, job: Generation, files: Sequence[MadeFile], inference_s: float) -> dict[str, Any]:
        return {
            "images": [_image(file) for file in files],
            "timings": {"inference": inference_s},
            "seed": job.seed,
            "has_nsfw_concepts": [file.flagged for file in files],
            "prompt": job.prompt,
        }


def _fixed_size(settings: Settings) -> Overrides:
    """The override of `image_size` for a model that makes squares of `size` pixels and nothing else."""
    if "size" not in settings:
        return {}
    size = settings["size"]
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"settings.size = {size!r}: expected a number of pixels")
    return {"image_size": {"default": {"width": size, "height": size}, "ge": size, "le": size, "multiple_of": 1}}


def _image(file: MadeFile) -> dict[str, Any]:
    return {
        "url": file.url,
        "content_type": file.content_type,
        "file_name": file.name,
        "file_size": file.size_bytes,
        "width": file.width,
        "height": file.height,
    }


FLUX = Pictures(input=FluxTextToImage)
STABLE_DIFFUSION = Pictures(input=StableDiffusionTextToImage)
SPRITE = Pictures(input=SpriteTextToImage)
