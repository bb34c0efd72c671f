"""The UNet's layers by the names that its authors gave them, which adapters for XL are often written in.

The blocks of both layouts in the order of the network; a test holds it against diffusers' own conversion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diffusers import UNet2DConditionModel

from laterna.lora.layers import Names

OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_out": "out.2",
}
RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
LAYER = re.compile(r"(?P<block>(down|up)_blocks\.\d+|mid_block)\.(?P<kind>\w+)\.(?P<number>\d+)\.(?P<inner>.+)")


def original_names(unet: UNet2DConditionModel) -> dict[str, Names]:
    """Names of layers in the original layout; a network of another build has but those that fit."""
    blocks = dict(_blocks(unet))
    found = {}
    for name, _ in unet.named_modules():
        match = LAYER.fullmatch(name)
        if match is None:
            original = OUTER.get(name)
        else:
            block = blocks.get(f"{match['block']}.{match['kind']}.{match['number']}")
            inner = RESNET.get(match["inner"]) if match["kind"] == "resnets" else match["inner"]
            inner = "op" if match["kind"] == "downsamplers" else inner
            original = f"{block}.{inner}" if block and inner else None
        if original is not None:
            found[original] = Names(layers=(name,))
    return found


def _blocks(unet: UNet2DConditionModel) -> Iterator[tuple[str, str]]:
    """Each of diffusers' blocks and the original's."""
    number = 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            yield f"down_blocks.{i}.resnets.{j}", f"input_blocks.{number}.0"
            yield f"down_blocks.{i}.attentions.{j}", f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            yield f"down_blocks.{i}.downsamplers.0", f"input_blocks.{number}.0"
            number += 1
    for kind, j, at in (("resnets", 0, 0), ("attentions", 0, 1), ("resnets", 1, 2)):
        yield f"mid_block.{kind}.{j}", f"middle_block.{at}"
    number = 0
    for i, block in enumerate(unet.up_blocks):
        has_attention = bool(getattr(block, "attentions", None))
        for j in range(len(block.resnets)):
            yield f"up_blocks.{i}.resnets.{j}", f"output_blocks.{number}.0"
            yield f"up_blocks.{i}.attentions.{j}", f"output_blocks.{number}.1"
            number += 1
        if block.upsamplers:
            yield f"up_blocks.{i}.upsamplers.0", f"output_blocks.{number - 1}.{2 if has_attention else 1}"
