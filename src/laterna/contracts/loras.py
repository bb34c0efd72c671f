"""What clients may ask of adapters: fal's `LoraWeight`, and which places a path may name.

A path never names a file of this machine: it is a URL, a repository of the hub, or an adapter that the operator laid
into the data folder. Whether anything is there, the worker finds out.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MOST_LORAS = 8
LARGEST_SCALE = 4.0
PATH_CHARACTERS = 2048
OWNER = "laterna"  # before the names of the operator's own
URL = re.compile(r"https?://.+", re.ASCII | re.IGNORECASE)
_NAME, _FILE = r"[A-Za-z0-9_][\w.-]*", r"[A-Za-z0-9_][\w. ()+-]*"
HUB = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(/(?P<file>{_FILE}(/{_FILE})*))?", re.ASCII)
OWN = re.compile(rf"{OWNER}/(?P<name>{_NAME})", re.ASCII)

Kind = Literal["url", "hub", "own"]


def kind_of(path: str) -> Kind | None:
    """What a path is; None for none of them."""
    if URL.fullmatch(path):
        return "url"
    if OWN.fullmatch(path):
        return "own"
    return "hub" if HUB.fullmatch(path) else None


def _place(path: str) -> str:
    if kind_of(path) is None:
        raise PydanticCustomError(
            "lora_path",
            "A LoRA is named by a URL, by OWNER/NAME or OWNER/NAME/FILE of the hub, or by laterna/NAME of this server; "
            "upload a file of yours and give its URL",
        )
    return path


class LoraWeight(BaseModel):
    """One adapter."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    path: Annotated[str, Field(min_length=1, max_length=PATH_CHARACTERS), AfterValidator(_place)] = Field(
        description="URL or hub path of the LoRA weights.", examples=["laterna/pixel-art"]
    )
    scale: float = Field(1.0, ge=0, le=LARGEST_SCALE, description="How strongly it acts; 1 is what it was trained for.")
    force: bool = Field(False, description="Accepted for compatibility.")


Loras = Annotated[list[LoraWeight], Field(max_length=MOST_LORAS)]
