"""Clean latents to pictures, by the checkpoint's autoencoder and its scaling."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from laterna.families.family import Picture
from laterna.families.pictures import to_pictures


def decode(vae: AutoencoderKL, latents: torch.Tensor) -> list[Picture]:
    """[b, c, h, w] -> b pictures."""
    return to_pictures(vae.decode(unscale(vae, latents).to(vae.dtype), return_dict=False)[0])


def unscale(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """The autoencoder's own latents: some checkpoints give each channel a mean and a deviation."""
    mean, deviation = vae.config.latents_mean, vae.config.latents_std
    if mean is None or deviation is None:
        return latents / float(vae.config.scaling_factor)
    wide = (1, -1, 1, 1)
    deviations = torch.tensor(deviation, dtype=latents.dtype, device=latents.device).view(wide)
    means = torch.tensor(mean, dtype=latents.dtype, device=latents.device).view(wide)
    return latents * deviations / float(vae.config.scaling_factor) + means
