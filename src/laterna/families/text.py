"""Words to token ids, the same for all families; what does not fit the encoder is cut, as its authors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


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


def unique(texts: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Each text once, and where it is: prompts and negative prompts repeat within a batch."""
    kept = list(dict.fromkeys(texts))
    return kept, {text: row for row, text in enumerate(kept)}
