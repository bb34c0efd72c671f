"""The UNet in two: its outermost blocks, and all between them, which samples may take from memory.

After DeepCache, arXiv:2312.00858: cached is what the inner blocks hand to the last up block. It is reused not at every
n-th step but where the first down block's answer changed little, sample by sample. The layers are those of diffusers'
`UNet2DConditionModel`; the way through them is written out here because theirs cannot be left in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from laterna.families.caching import Choice, Thresholds, accelerated, reuse
from laterna.families.components import bytes_of
from laterna.families.family import Noisy
from laterna.lora.segments import Segments, lay


@dataclass(frozen=True, kw_only=True)
class Told:
    """What all blocks are told of the rows."""

    owners: tuple[int, ...]  # the sample of each row
    time: torch.Tensor  # [rows, width]
    states: torch.Tensor  # [rows, length, width]: text

    def select(self, rows: list[int]) -> Told:
        return Told(owners=tuple(self.owners[row] for row in rows), time=self.time[rows], states=self.states[rows])


class SplitUNet:
    """The same network, for calls with samples that reuse."""

    def __init__(self, unet: UNet2DConditionModel, thresholds: Thresholds) -> None:
        self._unet = unet
        self._thresholds = thresholds
        self._outer = len(unet.up_blocks[-1].resnets)  # features that the last up block takes from the way down
        self.share = _share(unet)  # of the work, for a sample that reuses

    def is_for(self, samples: Sequence[Noisy]) -> bool:
        return bool(accelerated(samples, self._thresholds))

    def __call__(
        self,
        samples: Sequence[Noisy],
        owners: tuple[int, ...],
        x: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: torch.Tensor | None,
        added_cond_kwargs: dict[str, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, Choice]:
        """The network's answer to x [rows, c, h, w], and who did not go through all of it."""
        told = self._told(owners, x, timestep, encoder_hidden_states, timestep_cond, added_cond_kwargs)
        features = self._down(x, told)

        def compute(rows: list[int]) -> list[torch.Tensor]:
            deep = self._inner([feature[rows] for feature in features], told.select(rows))
            return list(torch.split(deep, 1))

        deep, choice = reuse(samples, owners, self._thresholds, torch.split(features[-1], 1), compute)
        return self._up(torch.cat(deep), features[: self._outer], told), choice

    def _told(
        self,
        owners: tuple[int, ...],
        x: torch.Tensor,
        timestep: torch.Tensor,
        states: torch.Tensor,
        condition: torch.Tensor | None,
        added: dict[str, torch.Tensor] | None,
    ) -> Told:
        unet = self._unet
        time = unet.time_embedding(unet.get_time_embed(sample=x, timestep=timestep), condition)
        more = unet.get_aug_embed(emb=time, encoder_hidden_states=states, added_cond_kwargs=added)
        time = time if more is None else time + more
        time = time if unet.time_embed_act is None else unet.time_embed_act(time)
        states = unet.process_encoder_hidden_states(encoder_hidden_states=states, added_cond_kwargs=added)
        return Told(owners=owners, time=time, states=states)

    def _down(self, x: torch.Tensor, told: Told) -> list[torch.Tensor]:
        """What the first convolution and the outermost down block give, in order; the last goes on inwards."""
        lay(Segments.of_rows(told.owners))
        x = self._unet.conv_in(2 * x - 1 if self._unet.config.center_input_sample else x)
        return [x, *_call(self._unet.down_blocks[0], told, x)[1]]

    def _inner(self, features: Sequence[torch.Tensor], told: Told) -> torch.Tensor:
        """What the last up block starts from, of what the first down block gave."""
        unet = self._unet
        lay(Segments.of_rows(told.owners))
        hidden, stack = features[-1], list(features)
        for down in unet.down_blocks[1:]:
            hidden, given = _call(down, told, hidden)
            stack += given
        if unet.mid_block is not None:
            hidden = _call(unet.mid_block, told, hidden)
        for up in unet.up_blocks[:-1]:
            given, stack = stack[-len(up.resnets) :], stack[: -len(up.resnets)]
            hidden = _call(up, told, hidden, res_hidden_states_tuple=given, upsample_size=stack[-1].shape[2:])
        return hidden

    def _up(self, deep: torch.Tensor, features: Sequence[torch.Tensor], told: Told) -> torch.Tensor:
        unet = self._unet
        lay(Segments.of_rows(told.owners))
        x = _call(unet.up_blocks[-1], told, deep, res_hidden_states_tuple=tuple(features))
        if unet.conv_norm_out is not None:
            x = unet.conv_act(unet.conv_norm_out(x))
        predicted: torch.Tensor = unet.conv_out(x)
        return predicted


def _call(block: Any, told: Told, hidden: torch.Tensor, **options: Any) -> Any:
    if getattr(block, "has_cross_attention", False):
        options["encoder_hidden_states"] = told.states
    return block(hidden, temb=told.time, **options)


def _share(unet: UNet2DConditionModel) -> float:
    """The outermost blocks' part of the work: parameters by the positions that they are applied to."""

    def work(blocks: Iterable[tuple[torch.nn.Module | None, int]]) -> float:
        return sum(bytes_of([block]) * 0.25**level for block, level in blocks if block is not None)

    levels = len(unet.down_blocks)
    outer = work([(unet.conv_in, 0), (unet.down_blocks[0], 0), (unet.up_blocks[-1], 0), (unet.conv_out, 0)])
    down = [(block, level) for level, block in enumerate(unet.down_blocks)][1:]
    up = [(block, levels - 1 - level) for level, block in enumerate(unet.up_blocks)][:-1]
    return outer / (outer + work([*down, (unet.mid_block, levels - 1), *up]))
