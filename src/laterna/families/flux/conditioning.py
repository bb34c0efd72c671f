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
from laterna.families.text import Tokenizer, token_ids, unique, words_of
from laterna.lora.adapters import Adapters


@dataclass(frozen=True, kw_only=True)
class Embeds:
    """One encoded text."""

    pooled: torch.Tensor  # [pooled width]
    states: torch.Tensor  # [length, T5 width]


@dataclass(frozen=True, kw_only=True)
class FluxConditioning(Conditioning):
    positive: Embeds
    negative: Embeds | None  # absent without classifier-free guidance
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Both text encoders and how long a text they are given."""

    clip: CLIPTextModel
    clip_tokenizer: Tokenizer
    clip_length: int  # tokens
    t5: T5EncoderModel
    t5_tokenizer: Tokenizer
    t5_length: int  # tokens

    def networks(self) -> dict[str, torch.nn.Module]:
        """By the names of their folders in a checkpoint."""
        return {"text_encoder": self.clip, "text_encoder_2": self.t5}

    def encode(self, jobs: Sequence[TextToImage], adapters: Adapters) -> list[Conditioning]:
        """The conditioning of each job. Raises AdapterError."""
        prompts, negatives = words_of(jobs, adapters)
        words, row = unique(prompts + [n for n, job in zip(negatives, jobs, strict=True) if is_guided(job)])
        with adapters.encoding([one.stack for one in words]):
            embeds = self._embed([one.text for one in words])
        return [
            FluxConditioning(
                positive=embeds[row[prompt]],
                negative=embeds[row[negative]] if is_guided(job) else None,
                remarks=adapters.remarks(job.loras),
            )
            for job, prompt, negative in zip(jobs, prompts, negatives, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> list[Embeds]:
        clip_tokens = token_ids(self.clip_tokenizer, texts, self.clip_length, self.clip.device)
        t5_tokens = token_ids(self.t5_tokenizer, texts, self.t5_length, self.t5.device)
        pooled = self.clip(clip_tokens.ids).pooler_output
        states = self.t5(t5_tokens.ids)[0]
        return [Embeds(pooled=p, states=s) for p, s in zip(pooled, states, strict=True)]
