"""The transformer's call: samples at any noise levels, guided or not, as the rows of one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import FluxTransformer2DModel

from laterna.contracts.generation import TextToImage
from laterna.families.flux.conditioning import Embeds, FluxConditioning
from laterna.families.flux.tokens import positions
from laterna.families.guidance import Rows, is_guided

GUIDANCE = 3.5  # where a network wants a guidance number and the job has none, as published for FLUX.1 dev
TRAIN_TIMESTEPS = 1000.0  # the network's time runs from 0 to 1


class Network:
    """Predicts velocity, noise - x0."""

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        self.transformer = transformer

    def __call__(
        self,
        x: torch.Tensor,
        timestep: torch.Tensor,
        conditionings: Sequence[FluxConditioning],
        jobs: Sequence[TextToImage],
        grid: tuple[int, int],
    ) -> torch.Tensor:
        """Velocity [b, tokens, width] in x's type, of x [b, tokens, width] at timestep [b] (0 .. 1000)."""
        rows, dtype = Rows.of(jobs, [is_guided(job) for job in jobs]), self.transformer.dtype
        embeds = _embeds(rows, conditionings)
        states = torch.stack([e.states for e in embeds]).to(dtype)
        predicted = self.transformer(
            hidden_states=rows.expand(x).to(dtype),
            timestep=rows.expand(timestep / TRAIN_TIMESTEPS).to(dtype),
            guidance=self._guidance(rows, jobs, x.device),
            pooled_projections=torch.stack([e.pooled for e in embeds]).to(dtype),
            encoder_hidden_states=states,
            txt_ids=torch.zeros(states.shape[1], 3, device=x.device),
            img_ids=positions(*grid, x.device),
            return_dict=False,
        )[0]
        return rows.combine(predicted.to(x.dtype))

    def _guidance(self, rows: Rows, jobs: Sequence[TextToImage], device: torch.device) -> torch.Tensor | None:
        if not self.transformer.config.guidance_embeds:
            return None
        numbers = [GUIDANCE if job.guidance is None else job.guidance for job in jobs]
        return rows.expand(torch.tensor(numbers, dtype=torch.float32, device=device))


def _embeds(rows: Rows, conditionings: Sequence[FluxConditioning]) -> list[Embeds]:
    """What each row is conditioned on."""
    negatives = [conditionings[i].negative for i in rows.guided]
    return [c.positive for c in conditionings] + [n for n in negatives if n is not None]
