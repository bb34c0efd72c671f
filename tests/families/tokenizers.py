"""Tiny tokenizers of the true kinds: CLIP's byte pairs and T5's pieces, over letters."""

from __future__ import annotations

import string
from typing import Any

from transformers import CLIPTokenizer, T5Tokenizer

LETTERS = string.ascii_lowercase + string.digits + ",.-!'"


def clip_tokenizer(length: int, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """Letters, word ends and a few merges; the end token has the highest id, as CLIP's has."""
    merges = ["r e", "a n", "o x</w>", "re d</w>", "an d</w>"]
    merged = [merge.replace(" ", "") for merge in merges]
    pieces = ["!", *LETTERS.replace("!", ""), *(f"{letter}</w>" for letter in LETTERS), *merged]
    vocabulary = {piece: row for row, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    pairs: Any = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, pad_token=pad, model_max_length=length)


def t5_tokenizer(length: int) -> T5Tokenizer:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *((letter, -4.0) for letter in LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)
