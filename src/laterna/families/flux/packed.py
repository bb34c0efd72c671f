"""Rows of different lengths through the transformer's layers in one pass: their tokens lie packed, one after another.

Linear and norm layers see all tokens of all rows at once, attention stays within each row. The layers are those of
diffusers' `FluxTransformer2DModel`; the way through them is written out here because theirs takes rows of one length.
Neighbours: `network` prepares the rows, `laterna.lora.segments` tells the layers whose tokens they get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock, FluxTransformerBlock

from laterna.lora.segments import Segments, lay

HALF_LIMIT = 65504  # the largest float16


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The rows of a call and where their tokens lie, in each of the tensors that layers get."""

    rows: Segments  # one position a row: time and pooled text
    text: Segments
    image: Segments
    joint: Segments  # of each row its text and then its image

    @classmethod
    def of(cls, owners: Sequence[int], text: int, image: Sequence[int]) -> Layout:
        """Rows of `owners`, each with `text` text tokens and as many image tokens as `image` says, in falling order."""
        owned = tuple(owners)
        return cls(
            rows=Segments.of_rows(owned),
            text=Segments(lengths=(text,) * len(owned), owners=owned),
            image=Segments(lengths=tuple(image), owners=owned),
            joint=Segments(lengths=tuple(text + length for length in image), owners=owned),
        )


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The two streams of the double blocks."""

    text: torch.Tensor  # [text positions, width]
    image: torch.Tensor  # [image positions, width]


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """What all blocks of one call are told."""

    layout: Layout
    time: torch.Tensor  # [rows, width]: time, guidance and pooled text, after SiLU
    turn: tuple[torch.Tensor, torch.Tensor]  # cosines and sines of the joint positions, [joint positions, 1, head]


def select(rows: Sequence[int], tokens: Tokens, given: Circumstance) -> tuple[Tokens, Circumstance]:
    """The call with some of its rows, in their order."""
    whole = given.layout
    lengths, owners = whole.image.lengths, whole.rows.owners
    layout = Layout.of([owners[row] for row in rows], whole.text.lengths[0], [lengths[row] for row in rows])
    cosine, sine = (whole.joint.take(rows, turn) for turn in given.turn)
    kept = Tokens(text=whole.text.take(rows, tokens.text), image=whole.image.take(rows, tokens.image))
    return kept, Circumstance(layout=layout, time=given.time[list(rows)], turn=(cosine, sine))


def double_block(block: FluxTransformerBlock, tokens: Tokens, given: Circumstance) -> Tokens:
    """Text and image with weights of their own, attending to each other."""
    layout = given.layout
    lay(layout.rows)
    shift, scale, gate, shift_ff, scale_ff, gate_ff = block.norm1.linear(given.time).chunk(6, dim=1)
    on_text = block.norm1_context.linear(given.time).chunk(6, dim=1)
    image = modulate(layout.image, block.norm1.norm(tokens.image), shift, scale)
    text = modulate(layout.text, block.norm1_context.norm(tokens.text), on_text[0], on_text[1])
    text, image = _joint_attention(block.attn, text, image, given)
    image = add(layout.image, tokens.image, gate, image)
    text = add(layout.text, tokens.text, on_text[2], text)
    lay(layout.image)
    image = add(layout.image, image, gate_ff, block.ff(modulate(layout.image, block.norm2(image), shift_ff, scale_ff)))
    lay(layout.text)
    fed = block.ff_context(modulate(layout.text, block.norm2_context(text), on_text[3], on_text[4]))
    return Tokens(text=_clip(add(layout.text, text, on_text[5], fed)), image=image)


def single_block(block: FluxSingleTransformerBlock, joint: torch.Tensor, given: Circumstance) -> torch.Tensor:
    """Attention and feed-forward side by side over the joint sequences, [joint positions, width]."""
    layout = given.layout
    lay(layout.rows)
    shift, scale, gate = block.norm.linear(given.time).chunk(3, dim=1)
    lay(layout.joint)
    normed = modulate(layout.joint, block.norm.norm(joint), shift, scale)
    fed = block.act_mlp(block.proj_mlp(normed))
    attn = block.attn
    query, key, value = (_heads(attn, layer(normed)) for layer in (attn.to_q, attn.to_k, attn.to_v))
    attended = attend(layout.joint, attn.norm_q(query), attn.norm_k(key), value, given.turn)
    return _clip(add(layout.joint, joint, gate, block.proj_out(torch.cat([attended, fed], dim=1))))


def _joint_attention(
    attn: Any, text: torch.Tensor, image: torch.Tensor, given: Circumstance
) -> tuple[torch.Tensor, torch.Tensor]:
    layout = given.layout
    lay(layout.text)
    of_text = [_heads(attn, layer(text)) for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)]
    lay(layout.image)
    of_image = [_heads(attn, layer(image)) for layer in (attn.to_q, attn.to_k, attn.to_v)]
    query = join(layout, attn.norm_added_q(of_text[0]), attn.norm_q(of_image[0]))
    key = join(layout, attn.norm_added_k(of_text[1]), attn.norm_k(of_image[1]))
    attended = attend(layout.joint, query, key, join(layout, of_text[2], of_image[2]), given.turn)
    text, image = part(layout, attended)
    image = attn.to_out[0](image)
    lay(layout.text)
    return attn.to_add_out(text), image


def _heads(attn: Any, x: torch.Tensor) -> torch.Tensor:
    """n (heads d) -> n heads d."""
    return torch.unflatten(x, -1, (-1, attn.head_dim))


def attend(
    segments: Segments,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    turn: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Softmax attention within each segment, rows of equal length in one call: n heads d -> n (heads d)."""

    def span(_: slice, *qkv: torch.Tensor) -> torch.Tensor:
        query, key, value = (x.transpose(1, 2) for x in qkv)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)

    return each(segments, span, rotate(query, turn), rotate(key, turn), value).flatten(1, 2)


def rotate(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions, arXiv:2104.09864, on neighbouring pairs; x is [positions, heads, head]."""
    cosine, sine = turn
    real, imaginary = torch.unflatten(x.float(), -1, (-1, 2)).unbind(-1)
    quarter = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (x.float() * cosine + quarter * sine).to(x.dtype)


def modulate(segments: Segments, x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x (1 + scale) + shift, each segment by its row of [rows, width]."""
    scale = 1 + scale
    return each(segments, lambda rows, x: torch.addcmul(shift[rows, None], x, scale[rows, None]), x)


def add(segments: Segments, x: torch.Tensor, gate: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """x + gate change, each segment by its row of [rows, width]."""
    return each(segments, lambda rows, x, change: torch.addcmul(x, gate[rows, None], change), x, change)


def join(layout: Layout, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Each row's text before its image: text and image positions to joint positions."""
    texts = torch.unflatten(text, 0, (len(layout.rows.owners), -1))
    return each(layout.image, lambda rows, image: torch.cat([texts[rows], image], dim=1), image)


def part(layout: Layout, joint: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse of `join`: text and image positions."""
    length = layout.text.lengths[0]
    text = each(layout.joint, lambda _, x: x[:, :length], joint)
    return text, each(layout.joint, lambda _, x: x[:, length:], joint)


def each(segments: Segments, function: Callable[..., torch.Tensor], *packed: torch.Tensor) -> torch.Tensor:
    """Packed tensors span by span through a function of its segments and of [segments, length, ...]; packed again."""
    parts = []
    for span in segments.spans:
        views = (torch.unflatten(x[span.positions], 0, (-1, span.length)) for x in packed)
        parts.append(function(span.segments, *views).flatten(0, 1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _clip(x: torch.Tensor) -> torch.Tensor:
    return x.clip(-HALF_LIMIT, HALF_LIMIT) if x.dtype == torch.float16 else x
