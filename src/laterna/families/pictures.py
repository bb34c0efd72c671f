"""What an autoencoder gives, as pixels."""

from __future__ import annotations

import torch

from laterna.families.family import Picture


def to_pictures(images: torch.Tensor) -> list[Picture]:
    """[b, 3, h, w] in -1 .. 1 -> b pictures; values outside are clipped, the rest rounded half to even."""
    pixels = (images.float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).cpu().contiguous().numpy())
