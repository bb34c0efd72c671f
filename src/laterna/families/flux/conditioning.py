"""A prompt as the transformer reads it: one pooled CLIP vector and a sequence of T5 states.

Both encoders see the same words. Padding is part of the sequence and is attended to, as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import CLIPTextModel, T5EncoderModel

from laterna.contracts.generation import TextToImage
from laterna.families.family import Conditioning
from laterna.families.guidance import is_guided
from laterna.families.text import Tokenizer, token_ids, unique


@dataclass(frozen=True, kw_only=True)
class Embeds:
    """One encoded text."""

    pooled: torch.Tensor  # [pooled width]
    states: torch.Tensor  # [length, T5 width]


@dataclass(frozen=True, kw_only=True)
class FluxConditioning(Conditioning):
    positive: Embeds
    negative: Embeds | None  # absent without classifier-free guidance


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Both text encoders and how long a text they are given."""

    clip: CLIPTextModel
    clip_tokenizer: Tokenizer
    clip_length: int  # tokens
    t5: T5EncoderModel
    t5_tokenizer: Tokenizer
    t5_length: int  # tokens

    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        negatives = [job.negative_prompt for job in jobs if is_guided(job)]
        texts, row = unique([job.prompt for job in jobs] + negatives)
        embeds = self._embed(texts)
        return [
            FluxConditioning(
                positive=embeds[row[job.prompt]],
                negative=embeds[row[job.negative_prompt]] if is_guided(job) else None,
            )
            for job in jobs
        ]

    def _embed(self, texts: Sequence[str]) -> list[Embeds]:
        clip_tokens = token_ids(self.clip_tokenizer, texts, self.clip_length, self.clip.device)
        t5_tokens = token_ids(self.t5_tokenizer, texts, self.t5_length, self.t5.device)
        pooled = self.clip(clip_tokens.ids).pooler_output
        states = self.t5(t5_tokens.ids)[0]
        return [Embeds(pooled=p, states=s) for p, s in zip(pooled, states, strict=True)]
