"""Latents as tokens: 2x2 patches, in the order that the transformer was trained with."""

from __future__ import annotations

import torch


def pack(latent: torch.Tensor) -> torch.Tensor:
    """c (h 2) (w 2) -> (h w) (c 2 2)."""
    c, h, w = latent.shape
    patches = latent.view(c, h // 2, 2, w // 2, 2).permute(1, 3, 0, 2, 4)
    return patches.reshape(h // 2 * (w // 2), 4 * c)


def unpack(tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """b (rows columns) (c 2 2) -> b c (rows 2) (columns 2)."""
    b, _, width = tokens.shape
    patches = tokens.view(b, rows, columns, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(b, width // 4, 2 * rows, 2 * columns)


def positions(rows: int, columns: int, device: torch.device) -> torch.Tensor:
    """[rows * columns, 3]: nothing, row and column of each token."""
    ids = torch.zeros(rows, columns, 3, device=device)
    ids[..., 1] = torch.arange(rows, device=device)[:, None]
    ids[..., 2] = torch.arange(columns, device=device)[None, :]
    return ids.reshape(rows * columns, 3)
