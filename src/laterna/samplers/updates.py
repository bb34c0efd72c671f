"""The arithmetic that sampler steps share. Coefficients are float64, one per sample; latents keep their own type."""

from __future__ import annotations

import torch


def per_sample(coefficient: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[b] -> [b, 1, ...], in the type of the latents that it multiplies."""
    return widen(coefficient.to(like.dtype), like)


def widen(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[b] -> [b, 1, ...], with as many axes as `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def approach(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, sigma_next: torch.Tensor) -> torch.Tensor:
    """The probability-flow ODE dx/dsigma = (x - denoised) / sigma, solved to sigma_next for a fixed denoised.

    x_next = (sigma_next / sigma) x + (1 - sigma_next / sigma) denoised. Euler's method, DDIM with eta 0, the flow's
    Euler step and the first order of DPM-Solver++ are all this line. x and denoised [b, ...], sigmas [b].
    """
    ratio = sigma_next.double() / sigma.double()
    return per_sample(ratio, x) * x + per_sample(1 - ratio, x) * denoised


def extrapolate(
    denoised: torch.Tensor,
    previous: torch.Tensor,
    sigma_previous: torch.Tensor,
    sigma: torch.Tensor,
    sigma_next: torch.Tensor,
    *,
    second_order: torch.Tensor,
) -> torch.Tensor:
    """D of DPM-Solver++(2M), arXiv:2211.01095, algorithm 2: (1 + 1/2r) denoised - 1/2r previous, r = h_{i-1} / h_i.

    h are the steps in lambda = -log sigma. Samples where `second_order` [b] is false keep `denoised`: they have no
    previous prediction, or their last step leads to sigma 0, where h is infinite.
    """
    step = (sigma.double() / sigma_next.double()).log()
    step_before = (sigma_previous.double() / sigma.double()).log()
    weight = torch.where(second_order, step / (2 * step_before), 0.0)
    return denoised + per_sample(weight, denoised) * (denoised - previous)
