"""What the models of each family take, told without torch, so that cards and requests are refused before anything runs.

Families say the same of themselves once they are loaded; a test holds them to this table. It knows nothing of families
that installed packages add: what those cannot take, they refuse themselves, in the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

GROUP = "laterna.families"  # of entry points: the families of installed packages
DIFFUSION_SAMPLERS = ("ddim", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_ancestral", "lcm", "unipc")
FLOW_SAMPLERS = ("flow_euler",)
MOST_STEPS = 500  # denoising steps that every model can tell apart, whatever the sampler
MOST_STEPS_OF = {"lcm": 50}  # sampler -> steps that consistency models were distilled with


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What every model of a family takes."""

    samplers: tuple[str, ...]
    grain: int = 8  # pixels; sides are multiples of it, with the autoencoders of the published checkpoints
    adapters: bool = True  # whether its layers take LoRAs
    dtypes: tuple[str, ...] = ("float32", "bfloat16")  # exact enough for its pictures; of equally fast ones the first


TRAITS = {  # family -> its traits
    "blank": Traits(samplers=(*DIFFUSION_SAMPLERS, *FLOW_SAMPLERS), adapters=False),
    "flux": Traits(samplers=FLOW_SAMPLERS, grain=16),
    # float16 is nearer to float32 than bfloat16, but its range is too small for the numbers of some fine-tuned models.
    "stable_diffusion": Traits(samplers=DIFFUSION_SAMPLERS, dtypes=("float32", "bfloat16", "float16")),
}


def family_names() -> tuple[str, ...]:
    """All that can be loaded, our own and those of installed packages."""
    return tuple(sorted({*TRAITS, *(point.name for point in entry_points(group=GROUP))}))


def dtypes_of(family: str) -> tuple[str, ...]:
    """The types of numbers that its networks may compute in; a package's family is trusted with what most are."""
    return TRAITS[family].dtypes if family in TRAITS else Traits.dtypes


def most_steps(sampler: str) -> int:
    """More than so many denoising steps mean nothing to it."""
    return MOST_STEPS_OF.get(sampler, MOST_STEPS)
