"""Types of numbers: how fast a device computes in each is measured, never assumed.

Many CPUs accept bfloat16 and float16 and compute them several times slower than float32. Which types are exact enough
is not said here but by each family, in `laterna.contracts.traits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn import functional

from laterna.compiler.timing import seconds

CLOSE = 1.1  # times the least time that a type may take which is preferred to the fastest
WIDEST = torch.float32  # every device computes in it
_NARROWER = (torch.bfloat16, torch.float16)


@torch.inference_mode()
def times(device: torch.device) -> dict[str, float]:
    """What linear layers and convolutions take in each type, of what they take in float32, on average. Takes < 1 s."""
    took = {dtype: seconds(_calls(device, dtype)) for dtype in (WIDEST, *_NARROWER) if _computes(device, dtype)}
    widest = took[WIDEST]
    return {
        dtype_name(dtype): sum(own[name] / widest[name] for name in widest) / len(widest) for dtype, own in took.items()
    }


def fastest(took: Mapping[str, float], dtypes: Sequence[str]) -> str:
    """The name of the fastest of those types; the first of them that is about as fast.

    Raises ValueError where none of them was measured.
    """
    known = [name for name in dtypes if name in took]
    if not known:
        raise ValueError(f"dtypes: none of {', '.join(dtypes) or 'no types'} is among {', '.join(took)}")
    least = min(took[name] for name in known)
    return next(name for name in known if took[name] <= CLOSE * least)


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def named_dtype(name: str) -> torch.dtype:
    """Raises ValueError for what is no type of numbers that networks may have here."""
    for dtype in (WIDEST, *_NARROWER):
        if dtype_name(dtype) == name:
            return dtype
    raise ValueError(f"dtype: {name!r} is none of {', '.join(map(dtype_name, (WIDEST, *_NARROWER)))}")


def _computes(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the device has it; older GPUs emulate bfloat16."""
    emulates = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return dtype != torch.bfloat16 or not emulates


def _calls(device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[], torch.Tensor]]:
    """Of sizes that fill a GPU, and that a CPU is done with in some milliseconds."""
    rows, wide, channels, side = (4096, 2048, 320, 64) if device.type == "cuda" else (128, 512, 64, 16)
    x, weight = (torch.randn(size, wide).to(device, dtype) for size in (rows, wide))
    picture = torch.randn(1, channels, side, side).to(device, dtype)
    kernel = torch.randn(channels, channels, 3, 3).to(device, dtype)
    return {
        "linear": lambda: functional.linear(x, weight),
        "convolution": lambda: functional.conv2d(picture, kernel, padding=1),
    }
