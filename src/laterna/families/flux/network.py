"""The transformer's call: samples of any size at any noise level, guided or not, as the rows of one packed pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import cast

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel

from laterna.families.caching import Choice, Thresholds
from laterna.families.family import Noisy
from laterna.families.flux.blocks import Blocks
from laterna.families.flux.conditioning import Embeds, FluxConditioning
from laterna.families.flux.packed import Circumstance, Layout, Tokens, modulate
from laterna.families.flux.tokens import positions
from laterna.families.guidance import Rows, is_guided
from laterna.lora.segments import lay, packing

GUIDANCE = 3.5  # where a network wants a guidance number and the job has none, as published for FLUX.1 dev
TRAIN_TIMESTEPS = 1000.0  # the network's time runs from 0 to 1
GRIDS_KEPT = 64  # shapes whose rotary positions are remembered

Grid = tuple[int, int]  # rows and columns of tokens


class Network:
    """Predicts velocity, noise - x0."""

    def __init__(self, transformer: FluxTransformer2DModel, thresholds: Thresholds) -> None:
        self.transformer = transformer
        self.blocks = Blocks(transformer, thresholds)
        self._turn = lru_cache(maxsize=GRIDS_KEPT)(self._make_turn)

    @cached_property
    def _dtype(self) -> torch.dtype:
        """Asked for once: diffusers walks through all parameters for it."""
        dtype: torch.dtype = self.transformer.dtype
        return dtype

    def __call__(self, samples: Sequence[Noisy], grids: Sequence[Grid]) -> tuple[list[torch.Tensor], Choice]:
        """Each sample's velocity, of the shape and type of its latent [tokens, width], and who reused features."""
        rows = Rows.of([sample.job for sample in samples], [is_guided(sample.job) for sample in samples])
        order = sorted(range(len(rows.owners)), key=lambda row: -len(samples[rows.owners[row]].latent))
        with packing():
            predicted, choice = self._predict(samples, grids, rows, order)
        found: dict[int, torch.Tensor] = dict(zip(order, predicted, strict=True))
        in_order = [found[row].to(samples[owner].latent.dtype) for row, owner in enumerate(rows.owners)]
        return rows.combine_each(in_order), choice

    def _predict(
        self, samples: Sequence[Noisy], grids: Sequence[Grid], rows: Rows, order: Sequence[int]
    ) -> tuple[list[torch.Tensor], Choice]:
        """The velocities of the rows in that order."""
        owners, embeds = [rows.owners[row] for row in order], _embeds(rows, samples)
        chosen, texts = [samples[owner] for owner in owners], [embeds[row] for row in order]
        layout = Layout.of(owners, len(texts[0].states), [len(sample.latent) for sample in chosen])
        given = Circumstance(
            layout=layout,
            time=self._time(chosen, texts, layout),
            turn=self._turns([grids[owner] for owner in owners], len(texts[0].states)),
        )
        tokens = self._embed(chosen, texts, layout)
        image, choice = self.blocks(samples, tokens, given)
        return layout.image.split(self._velocity(image, given)), choice

    def _embed(self, samples: Sequence[Noisy], texts: Sequence[Embeds], layout: Layout) -> Tokens:
        dtype = self._dtype
        lay(layout.image)
        image = self.transformer.x_embedder(torch.cat([sample.latent for sample in samples]).to(dtype))
        lay(layout.text)
        text = self.transformer.context_embedder(torch.cat([text.states for text in texts]).to(dtype))
        return Tokens(text=text, image=image)

    def _time(self, samples: Sequence[Noisy], texts: Sequence[Embeds], layout: Layout) -> torch.Tensor:
        """[rows, width]: all that is no token."""
        dtype, pooled = self._dtype, torch.stack([text.pooled for text in texts])
        time = pooled.new_tensor([s.timestep for s in samples], dtype=torch.float32) / TRAIN_TIMESTEPS
        told = [time.to(dtype) * TRAIN_TIMESTEPS]
        if self.transformer.config.guidance_embeds:
            guidance = [GUIDANCE if s.job.guidance is None else s.job.guidance for s in samples]
            told.append(pooled.new_tensor(guidance, dtype=torch.float32).to(dtype) * TRAIN_TIMESTEPS)
        lay(layout.rows)
        return F.silu(self.transformer.time_text_embed(*told, pooled.to(dtype)))

    def _velocity(self, image: torch.Tensor, given: Circumstance) -> torch.Tensor:
        out, layout = self.transformer.norm_out, given.layout
        lay(layout.rows)
        scale, shift = out.linear(given.time).chunk(2, dim=1)
        lay(layout.image)
        velocity: torch.Tensor = self.transformer.proj_out(modulate(layout.image, out.norm(image), shift, scale))
        return velocity

    def _turns(self, grids: Sequence[Grid], text: int) -> tuple[torch.Tensor, torch.Tensor]:
        turns = [self._turn(grid, text) for grid in grids]
        return torch.cat([cosine for cosine, _ in turns]), torch.cat([sine for _, sine in turns])

    def _make_turn(self, grid: Grid, text: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of a row's rotary positions, [text and image tokens, 1, head]: text has no place."""
        at = positions(*grid, self.transformer.device)
        cosine, sine = self.transformer.pos_embed(torch.cat([at.new_zeros(text, at.shape[1]), at]))
        return cosine.unsqueeze(1), sine.unsqueeze(1)


def _embeds(rows: Rows, samples: Sequence[Noisy]) -> list[Embeds]:
    """What each row is conditioned on."""
    conditionings = [cast("FluxConditioning", sample.conditioning) for sample in samples]
    negatives = [conditionings[i].negative for i in rows.guided]
    return [c.positive for c in conditionings] + [n for n in negatives if n is not None]
