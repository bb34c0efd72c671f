"""Training of the text-to-image transformer: rectified flow on the fixed latents, text encoders included.

Two parts: `train` at one learning rate, which may be stopped anywhere and taken up again for longer, and `cool`, which
branches off what `train` has saved and brings the rate down to nothing; only then is the picture sharp. `sampling`
paints with the result.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zoo.sprite import captions, checkpoint, latents, networks, scenes, sheet

STEPS = 20_000  # at one rate
COOLING = 5_000  # steps until the rate is nothing
BATCH = 64
RATE = 1e-3
WARM = 400  # steps up to that rate
DROPPED = 0.1  # share of captions replaced by "", for classifier-free guidance
MEMORY = 0.9995  # of the averaged weights, per step
GLANCE = 500  # steps between two sheets
STABLE, COOLED = "painter.pt", "cooled.pt"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How far to train."""

    steps: int  # optimiser steps at one rate, earlier runs included
    cooling: int  # steps while the rate falls
    minutes: float  # this run stops after so long
    fused: bool = True  # compile the transformer: needs a C++ compiler, a tenth faster


def train(folder: Path, draw: scenes.Draw, basis: latents.Basis, plan: Plan) -> None:
    """Train at one rate until `plan.steps`, from the last save in `folder`."""
    course = _course(folder / STABLE, draw, plan)
    _run(course, draw, basis, until=plan.steps, rate=lambda step: RATE * min(1.0, (step + 1) / WARM))


def cool(folder: Path, draw: scenes.Draw, basis: latents.Basis, plan: Plan) -> None:
    """Branch off the last save of `train`, unless begun already, and bring the rate down over `plan.cooling` steps."""
    if not (folder / COOLED).exists():
        part = (folder / COOLED).with_suffix(".copy")
        shutil.copyfile(folder / STABLE, part)
        os.replace(part, folder / COOLED)
    course = _course(folder / COOLED, draw, plan)
    course.origin = course.origin or course.step
    end = course.origin + plan.cooling
    _run(
        course,
        draw,
        basis,
        until=end,
        rate=lambda step: RATE * (1 - ((step - end + plan.cooling) / plan.cooling) ** 0.5),
    )


def _course(path: Path, draw: scenes.Draw, plan: Plan) -> checkpoint.Course:
    torch.manual_seed(3)
    painter = networks.Painter(captions.vocabulary(draw.bank.subjects))
    if plan.fused:
        painter.transformer.compile()
    optimizer = torch.optim.AdamW(_groups(painter), lr=RATE, betas=(0.9, 0.98), fused=True)
    return checkpoint.Course(network=painter, optimizer=optimizer, path=path, decay=MEMORY, minutes=plan.minutes)


def _run(
    course: checkpoint.Course, draw: scenes.Draw, basis: latents.Basis, *, until: int, rate: Callable[[int], float]
) -> None:
    losses: list[float] = []
    while course.step < until and not course.over():
        loss = _loss(course.network, draw, basis, course.step)
        course.advance(loss, rate(course.step))
        losses.append(loss.item())
        if course.step % 50 == 0:
            course.note(f"{np.mean(losses):.4f}")
            losses.clear()
        if course.step % GLANCE == 0:
            _glance(course, draw, basis)
        course.save(now=course.step == until or course.over())


def _glance(course: checkpoint.Course, draw: scenes.Draw, basis: latents.Basis) -> None:
    """Draw what the averaged weights paint by now."""
    known = draw.bank.subjects
    painter = networks.Painter(captions.vocabulary(known))
    painter.load_state_dict(course.average)
    sheet.glance(painter, basis, known, course.path.parent / "sheets" / f"{course.path.stem}-{course.step:06d}.png")


def _groups(painter: networks.Painter) -> list[dict[str, object]]:
    """Weight decay for matrices of the transformer alone."""
    decayed = [p for p in painter.transformer.parameters() if p.ndim > 1]
    chosen = {id(p) for p in decayed}
    rest = [p for p in painter.parameters() if id(p) not in chosen]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]


def _loss(painter: nn.Module, draw: scenes.Draw, basis: latents.Basis, step: int) -> torch.Tensor:
    """Mean squared velocity error of one batch, which follows from the step's number alone."""
    rng = np.random.default_rng([3, step])
    generator = torch.Generator().manual_seed(step)
    pictures, texts = draw.batch(BATCH, rng)
    texts = ["" if rng.random() < DROPPED else text for text in texts]
    clean = latents.pack(basis.project(pictures))
    noise = torch.randn(clean.shape, generator=generator)
    moment = _moments(generator)
    velocity = painter(clean.lerp(noise, moment[:, None, None]), moment, texts)
    return functional.mse_loss(velocity, noise - clean)


def _moments(generator: torch.Generator) -> torch.Tensor:
    """Times of a batch, stratified: half logit-normal, half uniform where the caption must say it all."""
    quantile = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
    times = torch.sigmoid(torch.special.ndtri(quantile.clamp(1e-4, 1 - 1e-4)))
    times[::2] = 0.7 + 0.3 * quantile[::2]
    return times
