"""Samplers: pure, vectorised steps from noise to data, one file per algorithm.

Every sampler works in *sigma space*: x = x0 + sigma * noise for diffusion models (the variance-preserving latent is
x / sqrt(1 + sigma^2); families scale the network's input so), x = (1 - sigma) * x0 + sigma * noise for flow models. In
that space a sampler needs nothing but x, the prediction of x0 and two sigmas, so that samples with different schedules
share one call. What the network predicts (noise, velocity) is turned into x0 by its family, never here.

Names are looked up lazily, so that a sampler that nobody asks for is never imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from laterna.samplers.sampler import Sampler

SAMPLERS = {
    "ddim": "laterna.samplers.ddim:DDIM",
    "dpmpp_2m": "laterna.samplers.dpmpp_2m:DPMPP_2M",
    "dpmpp_2m_karras": "laterna.samplers.dpmpp_2m:DPMPP_2M_KARRAS",
    "euler": "laterna.samplers.euler:EULER",
    "euler_ancestral": "laterna.samplers.euler_ancestral:EULER_ANCESTRAL",
    "flow_euler": "laterna.samplers.flow_euler:FLOW_EULER",
    "lcm": "laterna.samplers.lcm:LCM",
    "unipc": "laterna.samplers.unipc:UNIPC",
}


def get_sampler(name: str) -> Sampler:
    """The sampler of that name; ValueError, with the names that there are, when there is none."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler: {name!r} is unknown; choose one of {', '.join(sorted(SAMPLERS))}")
    module, _, attribute = SAMPLERS[name].partition(":")
    return cast("Sampler", getattr(import_module(module), attribute))
