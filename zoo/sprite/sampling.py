"""Paints captions: Euler steps of the flow with classifier-free guidance, as Flux's pipeline takes them."""

import itertools

import torch

from zoo.sprite import latents, networks


@torch.no_grad()
def paint(
    painter: networks.Painter,
    captions: list[str],
    *,
    steps: int = 20,
    guidance: float = 2.0,
    shift: float = 1.0,
    seed: int = 0,
) -> torch.Tensor:
    """Latents (n, 40, 8, 8); caption i has seed `seed` + i."""
    seeds = [torch.Generator().manual_seed(seed + place) for place in range(len(captions))]
    tokens = torch.stack([torch.randn(networks.SIDE**2, latents.CHANNELS * 4, generator=one) for one in seeds])
    texts, blank = painter.read(captions), painter.read([""] * len(captions))
    times = torch.linspace(1, 0, steps + 1)
    times = shift * times / (1 + (shift - 1) * times)
    for now, after in itertools.pairwise(times):
        moment = now.expand(len(captions))
        asked, free = painter.velocity(tokens, moment, texts), painter.velocity(tokens, moment, blank)
        tokens = tokens + (after - now) * (free + guidance * (asked - free))
    return latents.unpack(tokens)
