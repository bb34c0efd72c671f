"""A prompt as the UNet reads it: states of one CLIP encoder, or XL's two encoders side by side with a pooled vector.

Padding is part of the sequence, as in training. Where a checkpoint of XL says so, an empty negative prompt is zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from laterna.contracts.generation import TextToImage
from laterna.families.family import Conditioning
from laterna.families.text import Tokenizer, Tokens, token_ids, unique, words_of
from laterna.lora.adapters import Adapters

PENULTIMATE = -2  # XL reads the states before the last layer


@dataclass(frozen=True, kw_only=True)
class Embeds:
    """One encoded text."""

    states: torch.Tensor  # [length, width]
    pooled: torch.Tensor | None  # [pooled width]; absent but for XL


@dataclass(frozen=True, kw_only=True)
class DiffusionConditioning(Conditioning):
    positive: Embeds
    negative: Embeds | None  # absent without classifier-free guidance
    remarks: tuple[str, ...] = ()


class Encoders(Protocol):
    """Either text side of the family."""

    def networks(self) -> dict[str, torch.nn.Module]:
        """By the names of their folders in a checkpoint."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Embeds]:
        """Texts through each encoder once, in one batch."""
        ...

    def empty(self, like: Embeds) -> Embeds | None:
        """What stands for an empty negative prompt, where that is not simply its encoding."""
        ...


def encode(
    encoders: Encoders, jobs: Sequence[TextToImage], guided: Sequence[bool], adapters: Adapters
) -> list[Conditioning]:
    """The conditioning of each job; negatives of those that are guided. Raises AdapterError."""
    prompts, negatives = words_of(jobs, adapters)
    words, row = unique(prompts + [negative for negative, wanted in zip(negatives, guided, strict=True) if wanted])
    with adapters.encoding([one.stack for one in words]):
        embeds = encoders.embed([one.text for one in words])
    made: list[Conditioning] = []
    for job, prompt, against, wanted in zip(jobs, prompts, negatives, guided, strict=True):
        positive = embeds[row[prompt]]
        negative = embeds[row[against]] if wanted else None
        if wanted and not job.negative_prompt:
            negative = encoders.empty(positive) or negative
        remarks = adapters.remarks(job.loras)
        made.append(DiffusionConditioning(positive=positive, negative=negative, remarks=remarks))
    return made


@dataclass(frozen=True, kw_only=True)
class OneEncoder:
    """SD 1.5 and 2.1: the last states after the final norm."""

    clip: CLIPTextModel
    tokenizer: Tokenizer
    length: int  # tokens

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"text_encoder": self.clip}

    def embed(self, texts: Sequence[str]) -> list[Embeds]:
        tokens = token_ids(self.tokenizer, texts, self.length, self.clip.device)
        states = self.clip(tokens.ids, attention_mask=_mask(self.clip, tokens)).last_hidden_state
        return [Embeds(states=s, pooled=None) for s in states]

    def empty(self, like: Embeds) -> Embeds | None:
        return None


@dataclass(frozen=True, kw_only=True)
class TwoEncoders:
    """XL: penultimate states of both encoders side by side, and the second's projected pooled vector."""

    first: CLIPTextModel
    first_tokenizer: Tokenizer
    second: CLIPTextModelWithProjection
    second_tokenizer: Tokenizer
    length: int  # tokens, for both
    zeros_for_empty: bool  # whether an empty negative prompt is zeros

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"text_encoder": self.first, "text_encoder_2": self.second}

    def embed(self, texts: Sequence[str]) -> list[Embeds]:
        first_ids = token_ids(self.first_tokenizer, texts, self.length, self.first.device).ids
        second_ids = token_ids(self.second_tokenizer, texts, self.length, self.second.device).ids
        first = self.first(first_ids, output_hidden_states=True)
        second = self.second(second_ids, output_hidden_states=True)
        states = torch.cat([first.hidden_states[PENULTIMATE], second.hidden_states[PENULTIMATE]], dim=-1)
        return [Embeds(states=s, pooled=p) for s, p in zip(states, second.text_embeds, strict=True)]

    def empty(self, like: Embeds) -> Embeds | None:
        if not self.zeros_for_empty:
            return None
        assert like.pooled is not None
        return Embeds(states=torch.zeros_like(like.states), pooled=torch.zeros_like(like.pooled))


def _mask(clip: CLIPTextModel, tokens: Tokens) -> torch.Tensor | None:
    return tokens.mask if getattr(clip.config, "use_attention_mask", False) else None
