"""What the engine is asked to generate, after validation: no fal names, no defaults left open, no torch.

An endpoint's input (`laterna.contracts.inputs`) is normalised into one of these; it is stored on the request's row,
travels to the worker and is all that the output depends on, together with the model's revision and the engine's plan.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 1  # of the normalised input stored on a request; raised when a field changes its meaning


class Lora(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter of the model's layers and how strongly it acts."""

    path: str  # as its sender names it: a URL, OWNER/NAME[/FILE] of a hub, or laterna/NAME of this server
    scale: float = 1.0  # 0 has no effect, 1 is what it was trained for
    file: str = ""  # key of the media store where `path` is the URL of a file of this server; empty otherwise
    digest: str = ""  # of its content; empty until a worker has fetched it


class TextToImage(msgspec.Struct, frozen=True, kw_only=True, tag="text_to_image"):
    """One request for pictures from words. Sample i of `count` uses seed + i."""

    prompt: str
    negative_prompt: str = ""  # used only where `cfg_scale` is above 1
    width: int  # pixels, a multiple of the family's grain
    height: int  # pixels
    steps: int  # denoising steps, at least 1
    cfg_scale: float = 1.0  # classifier-free guidance; 1 or less runs without the negative half
    guidance: float | None = None  # for networks with a guidance embedding; absent otherwise
    sampler: str  # a name of `laterna.samplers`
    seed: int  # 0 .. 2**63 - 1
    acceleration: Literal["none", "regular", "high"] = "none"  # how readily features are reused between steps
    count: int = 1  # pictures
    image_format: str = "png"  # png, jpeg or webp
    previews: bool = False  # whether somebody watches the steps
    loras: tuple[Lora, ...] = ()  # all act at once, on every sample
    inline: bool = False  # outputs are wanted as data URIs and are not kept
    safety: bool = False  # pictures that the safety checker flags are blacked out


Generation = TextToImage  # becomes a tagged union as families of other modalities arrive


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to load a model: the executable part of its card."""

    id: str  # the card's id
    revision: str  # part of the model's identity: other weights, other revision
    family: str  # a name of `laterna.families`
    weights: str  # builtin:NAME, path:FOLDER-OR-FILE or hub:OWNER/NAME[@REVISION]
    settings: dict[str, str | int | float | bool] = {}  # the family's own knobs, from the card
    resident_bytes: int  # expected size on the device at 16 bits a number: what must be free before it is loaded

    @property
    def name(self) -> str:
        """The model's identity in memory, costs and metrics: other weights, other name."""
        return f"{self.id}@{self.revision}"


TOKEN_PIXELS = 16 * 16  # a token of work is a patch of so many pixels, whatever the family


def work_tokens(job: Generation) -> int:
    """The work in one denoising step of one sample, in tokens: the unit in which costs are learned."""
    halves = 2 if job.cfg_scale > 1 else 1
    return halves * max(1, job.width * job.height // TOKEN_PIXELS)
