"""Noise schedules: what a model's `scheduler_config.json` says about the noise that it was trained with.

Reads the file of any diffusers scheduler. What the network predicts (`prediction_type`) is its family's to know, which
algorithm to use is the request's to choose, and `clip_sample` is left out, as latents are not bounded. Values that
would change the result and that no sampler here honours are refused rather than overlooked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
import torch

Spacing = Literal["leading", "trailing", "linspace"]  # table 2 of arXiv:2305.08891
Floats = npt.NDArray[np.float64]

# The only value of each key that is honoured; null and absent mean the same.
ONLY: dict[str, object] = {
    "interpolation_type": "linear",
    "invert_sigmas": False,
    "lambda_min_clipped": -math.inf,
    "rescale_betas_zero_snr": False,
    "shift_terminal": None,
    "sigma_max": None,
    "sigma_min": None,
    "stochastic_sampling": False,
    "thresholding": False,
    "time_shift_type": "exponential",
    "timestep_scaling": 10.0,
    "timestep_type": "discrete",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": False,
    "use_lu_lambdas": False,
}


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """Either a `DiffusionNoise` or a `FlowNoise`."""

    num_train_timesteps: int = 1000

    def __post_init__(self) -> None:
        if self.num_train_timesteps < 1:
            raise ValueError(f"num_train_timesteps: {self.num_train_timesteps} must be at least 1")

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule of a `scheduler_config.json`; unknown keys are ignored, absent ones have diffusers' defaults.

        ValueError for a value that is out of range or not supported.
        """
        for key, only in ONLY.items():
            if config.get(key) is not None and config[key] != only:
                raise ValueError(f"{key}: {config[key]!r} is not supported; the scheduler config may only say {only!r}")
        named_flow = str(config.get("_class_name", "")).startswith("FlowMatch")
        is_flow = named_flow or ("shift" in config and "beta_schedule" not in config)
        return _read(FlowNoise, config) if is_flow else _read(DiffusionNoise, config)


@dataclass(frozen=True, kw_only=True)
class DiffusionNoise(NoiseSchedule):
    """Variance-preserving noise in discrete timesteps: x_vp = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise."""

    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    timestep_spacing: Spacing | None = None  # absent: the sampler's own
    steps_offset: int = 0  # added to every timestep of `leading`
    set_alpha_to_one: bool = True  # whether DDIM ends without noise, rather than at that of timestep 0
    use_karras_sigmas: bool = False
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"
    original_inference_steps: int = 50  # those that an LCM was distilled with

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(f"beta_start, beta_end: {self.beta_start}, {self.beta_end} must rise between 0 and 1")

    def sigmas(self) -> Floats:
        """sqrt((1 - alpha_bar) / alpha_bar) of every training timestep, rising; [num_train_timesteps].

        Rounded to float32 on the way, as the networks' own training code does.
        """
        alphas_cumprod = torch.cumprod(1.0 - self._betas(), dim=0)
        return cast("Floats", (((1 - alphas_cumprod) / alphas_cumprod) ** 0.5).numpy().astype(np.float64))

    def _betas(self) -> torch.Tensor:
        power = 0.5 if self.beta_schedule == "scaled_linear" else 1.0
        ends = self.beta_start**power, self.beta_end**power
        roots = torch.linspace(*ends, self.num_train_timesteps, dtype=torch.float32)
        return roots**2 if self.beta_schedule == "scaled_linear" else roots


@dataclass(frozen=True, kw_only=True)
class FlowNoise(NoiseSchedule):
    """Rectified flow: x = (1 - sigma) x0 + sigma noise, sigmas shifted towards noise (arXiv:2403.03206, eq. 23)."""

    shift: float = 1.0  # unused with dynamic shifting
    use_dynamic_shifting: bool = False  # whether the shift grows with the length of the image's token sequence
    base_shift: float = 0.5  # mu at the base length
    max_shift: float = 1.15  # mu at the greatest length
    base_image_seq_len: int = 256  # tokens
    max_image_seq_len: int = 4096  # tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift <= 0:
            raise ValueError(f"shift: {self.shift} must be above 0")
        if self.base_image_seq_len >= self.max_image_seq_len:
            lengths = f"{self.base_image_seq_len}, {self.max_image_seq_len}"
            raise ValueError(f"base_image_seq_len, max_image_seq_len: {lengths} must rise")

    def mu(self, tokens: int) -> float:
        """The logarithm of the shift for an image of so many tokens: a line through the two given lengths."""
        slope = (self.max_shift - self.base_shift) / (self.max_image_seq_len - self.base_image_seq_len)
        return tokens * slope + (self.base_shift - slope * self.base_image_seq_len)


Kind = TypeVar("Kind", bound=NoiseSchedule)


def need(kind: type[Kind], noise: NoiseSchedule, sampler: str) -> Kind:
    """The noise as the kind that a sampler is made for; ValueError for the other."""
    if not isinstance(noise, kind):
        raise ValueError(f"sampler: {sampler!r} works with {kind.__name__}, and this model has {type(noise).__name__}")
    return noise


def _read(kind: type[Kind], config: Mapping[str, Any]) -> Kind:
    known = {field.name: config[field.name] for field in fields(kind) if config.get(field.name) is not None}
    try:
        return msgspec.convert(known, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"scheduler config: {error}") from error
