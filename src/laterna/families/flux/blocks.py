"""The way through the transformer's blocks; after the first, samples that reuse their cached features leave it.

Cached is what all blocks but the first add to the image's tokens; compared is what the first adds (First Block Cache of
ParaAttention).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import FluxTransformer2DModel

from laterna.families.caching import Choice, Thresholds, accelerated, reuse
from laterna.families.components import bytes_of
from laterna.families.family import Noisy
from laterna.families.flux.packed import Circumstance, Tokens, double_block, join, part, select, single_block


class Blocks:
    """All blocks of one transformer."""

    def __init__(self, transformer: FluxTransformer2DModel, thresholds: Thresholds) -> None:
        self._first, *self._double = transformer.transformer_blocks
        self._single = list(transformer.single_transformer_blocks)
        self._thresholds = thresholds
        whole = bytes_of([self._first, *self._double, *self._single])
        self.share = bytes_of([self._first]) / whole  # of the work, for a sample that reuses

    def __call__(self, samples: Sequence[Noisy], tokens: Tokens, given: Circumstance) -> tuple[torch.Tensor, Choice]:
        """Image tokens after all blocks, [image positions, width], and who did not go through them."""
        begun = double_block(self._first, tokens, given)
        if not accelerated(samples, self._thresholds):
            return self._rest(begun, given), Choice()
        image, owners = given.layout.image, given.layout.rows.owners

        def compute(rows: list[int]) -> list[torch.Tensor]:
            taken, told = (begun, given) if len(rows) == len(owners) else select(rows, begun, given)
            return told.layout.image.split(self._rest(taken, told))

        probes, base = image.split(begun.image - tokens.image), image.split(begun.image)
        ends, choice = reuse(samples, owners, self._thresholds, probes, compute, base)
        return torch.cat(ends), choice

    def _rest(self, tokens: Tokens, given: Circumstance) -> torch.Tensor:
        for double in self._double:
            tokens = double_block(double, tokens, given)
        joint = join(given.layout, tokens.text, tokens.image)
        for single in self._single:
            joint = single_block(single, joint, given)
        return part(given.layout, joint)[1]
