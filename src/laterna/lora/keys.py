"""Names of an adapter's tensors, in all layouts that are read: which layer each belongs to, and as what.

| layout | example |
|---|---|
| kohya | `lora_unet_..._to_q.lora_down.weight`, with `.alpha` beside |
| diffusers, PEFT style | `unet.....to_q.lora_A.weight` |
| diffusers, before | `unet.....attn1.processor.to_q_lora.down.weight`, `....q_proj.lora_linear_layer.down.weight` |
| PEFT itself | `base_model.model.....to_q.lora_A.default.weight` |

The layer's name comes out as it stands there, its stem; `layers` knows what it is called in the network. Adapters of
other kinds are refused by name, as ignoring a tensor would change the picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from laterna.errors import UnreadableAdapter, UnsupportedAdapter

PAIR = re.compile(
    r"(?P<stem>.+)[._]"
    r"(?P<role>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up|lora_linear_layer\.down|lora_linear_layer\.up)"
    r"(\.\w+)?\.weight"
)
ALPHA = re.compile(r"(?P<stem>.+?)(\.lora_linear_layer|[._]lora)?\.alpha")
PROCESSOR = re.compile(r"\.processor\.(?P<projection>\w+)$")
DOWN = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
OTHER_KINDS = {  # pattern in a name -> what that adapter is
    r"dora_scale|lora_magnitude_vector": "DoRA",
    r"\.hada_": "LoHa",
    r"\.lokr_": "LoKr",
    r"\.lora_mid": "LoCon with a Tucker core",
    r"\.lora_embedding_": "LoRA of an embedding",
    r"\.oft_": "OFT",
    r"vera_lambda": "VeRA",
    r"\.diff(_b)?$": "a full difference of weights",
    r"\.(lora_B|lora_up|up)(\.\w+)?\.bias$": "LoRA with a bias",
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The factors of one layer, as they lie in the file."""

    down: torch.Tensor  # [rank, in] or [rank, in, h, w]
    up: torch.Tensor  # [out, rank] or [out, rank, 1, 1]
    alpha: float | None  # absent where the file does not say: the rank, or what its metadata says

    @property
    def rank(self) -> int:
        return len(self.down)


def pairs(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, Pair], tuple[str, ...]]:
    """Factors by stem, and the names of tensors that are none.

    Raises UnsupportedAdapter for another kind of adapter and UnreadableAdapter where one factor of a pair is missing or
    the two do not go together.
    """
    found: dict[str, dict[str, torch.Tensor]] = {}
    others = []
    for key, tensor in tensors.items():
        stem, role = _parse(key)
        if role:
            found.setdefault(stem, {})[role] = tensor
        else:
            others.append(key)
    strays = [stem for stem, roles in found.items() if roles.keys() == {"alpha"}]
    made = {stem: _pair(stem, roles) for stem, roles in found.items() if stem not in strays}
    return made, (*others, *strays)


def _parse(key: str) -> tuple[str, str]:
    """Stem and role: down, up, alpha, or empty for a tensor that nobody knows. Raises UnsupportedAdapter."""
    for pattern, kind in OTHER_KINDS.items():
        if re.search(pattern, key):
            raise UnsupportedAdapter(f"the adapter is {kind} ({key!r}); only plain low-rank factors are applied")
    if match := PAIR.fullmatch(key):
        return _stem(match["stem"]), "down" if match["role"] in DOWN else "up"
    if match := ALPHA.fullmatch(key):
        return _stem(match["stem"]), "alpha"
    return key, ""


def _stem(text: str) -> str:
    """The layer's name where an attention processor stands between: `attn1.processor.to_out` is `attn1.to_out.0`."""
    match = PROCESSOR.search(text)
    if match is None:
        return text
    projection = "to_out.0" if match["projection"] == "to_out" else match["projection"]
    return f"{text[: match.start()]}.{projection}"


def _pair(stem: str, roles: Mapping[str, torch.Tensor]) -> Pair:
    if "down" not in roles or "up" not in roles:
        raise UnreadableAdapter(f"the adapter has but one of the two factors of {stem!r}; it may be cut off")
    down, up = roles["down"], roles["up"]
    if down.ndim not in (2, 4) or up.ndim not in (2, 4) or up.shape[1] != len(down) or up.shape[2:].numel() != 1:
        shapes = f"{list(down.shape)} and {list(up.shape)}"
        raise UnreadableAdapter(f"the adapter's factors of {stem!r} do not go together: {shapes}")
    if not (down.is_floating_point() and up.is_floating_point() and len(down)):
        raise UnreadableAdapter(f"the adapter's factors of {stem!r} are no numbers: {down.dtype}, rank {len(down)}")
    alpha = roles.get("alpha")
    if alpha is not None and alpha.numel() != 1:
        raise UnreadableAdapter(f"the adapter's {stem}.alpha is not one number: {list(alpha.shape)}")
    return Pair(down=down, up=up, alpha=None if alpha is None else float(alpha))
