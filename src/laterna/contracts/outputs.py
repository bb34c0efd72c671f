"""What endpoints answer with, in fal's shape."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Image(BaseModel):
    """One generated picture."""

    url: str = Field(description="Where the file can be downloaded, or a data URI in sync mode.")
    content_type: str | None = Field(None, description="The mime type of the file.", examples=["image/png"])
    file_name: str | None = Field(None, description="The name of the file.")
    file_size: int | None = Field(None, description="The size of the file in bytes.")
    width: int | None = Field(None, description="The width of the image in pixels.")
    height: int | None = Field(None, description="The height of the image in pixels.")


class ImagesOutput(BaseModel):
    """What every text-to-image endpoint answers with."""

    images: list[Image] = Field(description="The generated images.")
    timings: dict[str, float] = Field(description="Seconds by part of the work.")
    seed: int = Field(description="The seed that was used: the one given, or a random one.")
    has_nsfw_concepts: list[bool] = Field(description="One per image: whether the safety checker blacked it out.")
    prompt: str = Field(description="The prompt that was used.")
