"""A device's memory: how its end is told, and how what nobody uses is given back."""

from __future__ import annotations

import gc

import torch

_SAID = ("out of memory", "can't allocate memory", "cannot allocate memory")  # by allocators, in a plain RuntimeError


def is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def free_memory() -> None:
    """Collect what is in cycles, and hand what the allocator caches back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
