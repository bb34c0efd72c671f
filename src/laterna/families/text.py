"""Words to token ids, the same for all families; what does not fit the encoder is cut, as its authors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from laterna.contracts.generation import TextToImage
from laterna.lora.adapters import Adapters, Stack


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used."""

    model_max_length: int

    def __call__(self, text: list[str], **options: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Tokens:
    ids: torch.Tensor  # int64 [texts, length]
    mask: torch.Tensor  # int64 [texts, length], 0 where padded


def text_length(tokenizer: Tokenizer, encoder_limit: int) -> int:
    """Tokens of a text: the tokenizer's own length, which may say nothing, within what the encoder can place."""
    return min(int(tokenizer.model_max_length), encoder_limit)


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], length: int, device: torch.device) -> Tokens:
    """Each text padded or cut to `length` ids."""
    out = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return Tokens(ids=out.input_ids.to(device), mask=out.attention_mask.to(device))


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text as one sample's encoders read it."""

    text: str
    stack: Stack  # the adapters that change how they do


def unique(words: Sequence[Words]) -> tuple[list[Words], dict[Words, int]]:
    """Each once, and where it is: prompts and negative prompts repeat within a batch."""
    kept = list(dict.fromkeys(words))
    return kept, {one: row for row, one in enumerate(kept)}


def words_of(jobs: Sequence[TextToImage], adapters: Adapters) -> tuple[list[Words], list[Words]]:
    """Prompts and negative prompts of the jobs. Raises AdapterError."""
    stacks = [adapters.of_words(job.loras) for job in jobs]
    prompts = [Words(text=job.prompt, stack=stack) for job, stack in zip(jobs, stacks, strict=True)]
    negatives = [Words(text=job.negative_prompt, stack=stack) for job, stack in zip(jobs, stacks, strict=True)]
    return prompts, negatives
