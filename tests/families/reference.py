"""What diffusers' own pipelines paint from the same checkpoint, for one job at a time."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, FluxPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

from laterna.contracts.generation import TextToImage
from laterna.families.family import Picture
from tests.families.checkpoints import T5_LENGTH

PIPELINES: dict[str, type[DiffusionPipeline]] = {
    "sd15": StableDiffusionPipeline,
    "sd21": StableDiffusionPipeline,
    "sdxl": StableDiffusionXLPipeline,
    "flux-schnell": FluxPipeline,
    "flux-dev": FluxPipeline,
}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {"clip_sample": False}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


@cache
def pipeline(name: str, folder: Path) -> Any:
    return load_pipeline(name, folder)


def load_pipeline(name: str, folder: Path) -> Any:
    kind: Any = PIPELINES[name]
    loaded = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def paint_by_diffusers(name: str, folder: Path, job: TextToImage, painter: Any = None) -> Picture:
    """Empty negative prompts are passed as none at all, but for flux, whose pipeline would then not guide.

    `painter`: a pipeline to use rather than the checkpoint's own.
    """
    options: dict[str, Any] = {"negative_prompt": job.negative_prompt or None, "guidance_scale": job.cfg_scale}
    if name.startswith("flux"):
        options = {
            "negative_prompt": job.negative_prompt,
            "true_cfg_scale": job.cfg_scale,
            "guidance_scale": 3.5 if job.guidance is None else job.guidance,
            "max_sequence_length": T5_LENGTH,
        }
    painter = painter or pipeline(name, folder)
    if job.sampler in SCHEDULERS:
        kind, extra = SCHEDULERS[job.sampler]
        painter.scheduler = getattr(diffusers, kind).from_config(original_schedule(folder), **extra)
    image = painter(
        prompt=job.prompt,
        width=job.width,
        height=job.height,
        num_inference_steps=job.steps,
        generator=torch.Generator().manual_seed(job.seed),
        output_type="np",
        **options,
    ).images[0]
    painted: Picture = (image * 255).round().astype(np.uint8)
    return painted


def original_schedule(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    return config
