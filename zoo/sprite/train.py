"""Training of the text-to-image transformer: rectified flow on the fixed latents, text encoders included.

Saves every few minutes and goes on from there; the learning rate falls linearly over the second half of the steps asked
for, so asking for more steps later reheats it. `sheet` draws what the averaged weights paint.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from zoo.sprite import checkpoint, data, latents, networks

STEPS = 4800
BATCH = 32
RATE = 1e-3  # learning rate after the first steps
WANDERING = 2614  # steps with subjects in all positions; after them the centred one alone, which soon sharpens them
RECALLING = 3100  # steps until half of the times are near pure noise, where a picture must be recalled from its caption
DROPPED = 0.1  # share of captions replaced by "", for classifier-free guidance


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to train."""

    steps: int  # optimiser steps in all, earlier runs included
    minutes: float  # this run stops after so long
    fused: bool = True  # compile the transformer: needs a C++ compiler, a tenth faster


def train(folder: Path, bank: data.Bank, basis: latents.Basis, plan: Plan) -> None:
    """Train until `plan` is met, from the last save in `folder`."""
    torch.manual_seed(3)
    painter = networks.Painter()
    if plan.fused:
        painter.transformer.compile()
    optimizer = torch.optim.AdamW(_groups(painter), lr=RATE, betas=(0.9, 0.98), fused=True)
    course = checkpoint.Course(
        network=painter, optimizer=optimizer, path=folder / "painter.pt", decay=0.9985, minutes=plan.minutes
    )
    losses: list[float] = []
    while course.step < plan.steps and not course.over():
        loss = _loss(painter, bank, basis, course.step)
        course.advance(loss, RATE * checkpoint.falling(course.step, plan.steps, 300))
        losses.append(loss.item())
        if course.step % 100 == 0:
            course.note(f"{np.mean(losses):.4f}")
            losses.clear()
        course.save(now=course.step == plan.steps or course.over())


def _groups(painter: networks.Painter) -> list[dict[str, object]]:
    """Weight decay for matrices of the transformer alone."""
    decayed = [p for p in painter.transformer.parameters() if p.ndim > 1]
    chosen = {id(p) for p in decayed}
    rest = [p for p in painter.parameters() if id(p) not in chosen]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]


def _loss(painter: networks.Painter, bank: data.Bank, basis: latents.Basis, step: int) -> torch.Tensor:
    """Mean squared velocity error of one batch."""
    rng = np.random.default_rng([3, step])
    generator = torch.Generator().manual_seed(step)
    pictures, captions = data.draw(bank, BATCH, rng, data.POSITIONS if step < WANDERING else 1)
    captions = ["" if rng.random() < DROPPED else text for text in captions]
    clean = latents.pack(basis.project(pictures))
    noise = torch.randn(clean.shape, generator=generator)
    moment = _moments(generator, recall=step >= RECALLING)
    mixed = clean.lerp(noise, moment[:, None, None])
    velocity = painter(mixed, moment, painter.read(captions))
    return functional.mse_loss(velocity, noise - clean)


def _moments(generator: torch.Generator, *, recall: bool) -> torch.Tensor:
    """Times of a batch, stratified: logit-normal; to `recall`, half of them uniform over the noisiest quarter."""
    quantile = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
    times = torch.sigmoid(torch.special.ndtri(quantile.clamp(1e-4, 1 - 1e-4)) + 0.3)
    if recall:
        times[::2] = 0.75 + quantile[::2] / 4
    return times


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
    """Latents (n, 32, 8, 8) by Euler steps of the flow with classifier-free guidance; caption i has seed `seed` + i."""
    seeds = [torch.Generator().manual_seed(seed + place) for place in range(len(captions))]
    tokens = torch.stack([torch.randn(networks.SIDE**2, latents.CHANNELS * 4, generator=one) for one in seeds])
    texts, blank = painter.read(captions), painter.read([""] * len(captions))
    times = torch.linspace(1, 0, steps + 1)
    times = shift * times / (1 + (shift - 1) * times)
    for now, after in itertools.pairwise(times):
        moment = now.expand(len(captions))
        asked, free = painter(tokens, moment, texts), painter(tokens, moment, blank)
        tokens = tokens + (after - now) * (free + guidance * (asked - free))
    return latents.unpack(tokens)
