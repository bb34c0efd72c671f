"""The UNet's call: samples at any noise levels, guided or not, as rows of one batch; and x0 from its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, cast

import torch
from diffusers import UNet2DConditionModel

from laterna.contracts.generation import TextToImage
from laterna.families.caching import Choice, Thresholds
from laterna.families.family import Noisy
from laterna.families.guidance import Rows
from laterna.families.stable_diffusion.conditioning import DiffusionConditioning, Embeds
from laterna.families.stable_diffusion.reuse import SplitUNet
from laterna.lora.segments import Segments, lay, packing

Prediction = Literal["epsilon", "v_prediction", "sample"]


class Network:
    """Predicts noise, velocity or the clean latent, as its checkpoint says."""

    def __init__(self, unet: UNet2DConditionModel, prediction: Prediction, thresholds: Thresholds) -> None:
        self.unet = unet
        self.split = SplitUNet(unet, thresholds)
        self._prediction = prediction
        self.is_xl = unet.config.addition_embed_type == "text_time"  # told pooled text and the size

    @cached_property
    def _dtype(self) -> torch.dtype:
        """Asked for once: diffusers walks through all parameters for it."""
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @property
    def embeds_guidance(self) -> bool:
        """Distilled consistency models take the guidance scale as a number and have no negative half."""
        return self.unet.config.time_cond_proj_dim is not None

    def __call__(self, samples: Sequence[Noisy], rows: Rows) -> tuple[torch.Tensor, Choice]:
        """x0 [samples, c, h, w], of latents of one shape, and who reused features."""
        dtype = self._dtype
        x = torch.stack([sample.latent for sample in samples])
        sigma = numbers([sample.sigma for sample in samples], x).view(-1, 1, 1, 1)
        jobs = [sample.job for sample in samples]
        own = [cast("DiffusionConditioning", sample.conditioning) for sample in samples]
        embeds = [c.positive for c in own] + [n for i in rows.guided if (n := own[i].negative)]
        scaled = rows.expand(x / (sigma**2 + 1).sqrt()).to(dtype)
        timestep = rows.expand(numbers([sample.timestep for sample in samples], x))
        told: dict[str, Any] = {
            "encoder_hidden_states": torch.stack([e.states for e in embeds]).to(dtype),
            "timestep_cond": self._guidance(jobs, x.device),
            "added_cond_kwargs": self._added(rows, embeds, jobs) if self.is_xl else None,
        }
        with packing():
            lay(Segments.of_rows(rows.owners))
            if self.split.is_for(samples):
                predicted, choice = self.split(samples, rows.owners, scaled, timestep, **told)
            else:
                predicted, choice = self.unet(scaled, timestep, return_dict=False, **told)[0], Choice()
        return self._clean(rows.combine(predicted.to(x.dtype)), x, sigma), choice

    def _clean(self, predicted: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """x0 in sigma space: x - sigma eps, or alpha x_vp - sigma_vp v (arXiv:2202.00512, appendix D)."""
        if self._prediction == "epsilon":
            return x - sigma * predicted
        if self._prediction == "v_prediction":
            return x / (sigma**2 + 1) - predicted * (sigma / (sigma**2 + 1).sqrt())
        return predicted

    def _added(self, rows: Rows, embeds: Sequence[Embeds], jobs: Sequence[TextToImage]) -> dict[str, torch.Tensor]:
        """Pooled text and original size, crop corner and target size of each row (arXiv:2307.01952, section 2.2)."""
        pooled = torch.stack([e.pooled for e in embeds if e.pooled is not None]).to(self._dtype)
        sizes = [[job.height, job.width, 0, 0, job.height, job.width] for job in jobs]
        return {"text_embeds": pooled, "time_ids": rows.expand(torch.tensor(sizes, device=pooled.device).to(pooled))}

    def _guidance(self, jobs: Sequence[TextToImage], device: torch.device) -> torch.Tensor | None:
        if not self.embeds_guidance:
            return None
        scales = [job.cfg_scale if job.guidance is None else job.guidance for job in jobs]
        numbers = torch.tensor(scales, dtype=torch.float32, device=device) - 1
        return guidance_embedding(numbers, self.unet.config.time_cond_proj_dim).to(self._dtype)


def numbers(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """One number a sample, float32, where `like` is."""
    return torch.tensor(values, dtype=torch.float32, device=like.device)


def guidance_embedding(scale: torch.Tensor, width: int) -> torch.Tensor:
    """[b] -> [b, width]: sines and cosines of 1000 * scale, as arXiv:2310.04378 feeds it to distilled networks."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=scale.device) * -(math.log(10000.0) / (half - 1)))
    angles = scale[:, None] * 1000.0 * frequencies[None, :]
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))
