"""The latent space: principal components of 16x16-pixel patches, partly whitened.

Fixed before any network is trained, so that the transformer can learn on it while the autoencoder, which must reproduce
it (encoder) and invert it without block edges (decoder), is still learning. Neighbours: `autoencoder`, `train`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from zoo.sprite import scenes

PATCH = 16  # px, side of the patch behind one latent position
CHANNELS = 40  # numbers a position has
WHITENING = 0.5  # power of a component's deviation that is divided out: 0 none, 1 all


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Affine maps between patches and latents; latents have mean 0 and, averaged over channels, variance 1."""

    mean: torch.Tensor  # float32 (768,): the mean patch
    down: torch.Tensor  # float32 (768, 40): patch to latent
    up: torch.Tensor  # float32 (40, 768): latent to patch, the best linear one

    def project(self, pictures: torch.Tensor) -> torch.Tensor:
        """Latents (n, 40, h / 16, w / 16) of pictures (n, 3, h, w) in [-1, 1]."""
        patches = functional.unfold(pictures, PATCH, stride=PATCH).transpose(1, 2)
        grid: torch.Tensor = ((patches - self.mean) @ self.down).transpose(1, 2)
        size = (pictures.shape[2] // PATCH, pictures.shape[3] // PATCH)
        return grid.reshape(len(pictures), CHANNELS, *size)

    def lift(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures of latents by the linear map alone, block edges and all."""
        patches = (latents.flatten(2).transpose(1, 2) @ self.up + self.mean).transpose(1, 2)
        size = (latents.shape[2] * PATCH, latents.shape[3] * PATCH)
        return functional.fold(patches, size, PATCH, stride=PATCH).clamp(-1, 1)


def fit(draw: scenes.Draw, pictures: int = 2048, seed: int = 1) -> Basis:
    """The basis of `pictures` random pictures; deterministic for a seed."""
    sample, _ = draw.batch(pictures, np.random.default_rng(seed))
    patches = functional.unfold(sample, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    deviation, axes = values.flip(0)[:CHANNELS].sqrt(), vectors.flip(1)[:, :CHANNELS]
    axes = axes * axes.sum(0).sign()
    scale = deviation**WHITENING * (deviation ** (2 - 2 * WHITENING)).mean().sqrt()
    return Basis(mean=mean, down=(axes / scale).contiguous(), up=(axes * scale).T.contiguous())


def kept(path: Path, draw: scenes.Draw) -> Basis:
    """The basis kept at `path`, fitted the first time: training goes on with the very numbers that it began with."""
    if not path.exists():
        basis, part = fit(draw), path.with_suffix(".part")
        torch.save({"mean": basis.mean, "down": basis.down, "up": basis.up}, part)
        os.replace(part, path)
    return Basis(**torch.load(path, weights_only=True))


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Tokens (n, h/2 * w/2, 160) of latents (n, 40, h, w), in Flux's order 'b c (h 2) (w 2) -> b (h w) (c 2 2)'."""
    count, channels, height, width = latents.shape
    grid = latents.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return grid.reshape(count, height * width // 4, channels * 4)


def unpack(tokens: torch.Tensor) -> torch.Tensor:
    """Square latents of tokens: the inverse of `pack`."""
    count, length, width = tokens.shape
    side = round(length**0.5)
    grid = tokens.view(count, side, side, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(count, width // 4, side * 2, side * 2)
