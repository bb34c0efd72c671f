"""Whether a model fits a device: asked before a request is queued, and again before the model is loaded."""

from __future__ import annotations

from laterna.contracts.generation import ModelRef
from laterna.errors import ModelTooLarge


def misfit(model: ModelRef, memory_bytes: int, widening: int) -> ModelTooLarge | None:
    """Why the model cannot be loaded even alone; None where it can.

    Args:
        memory_bytes: what models may occupy on the device.
        widening: how many times a model takes there the 16 bits a number that its card counts with.
    """
    wanted = model.resident_bytes * widening
    if wanted <= memory_bytes:
        return None
    return ModelTooLarge(
        f"model {model.id!r} needs about {_gb(wanted)}, the device has {_gb(memory_bytes)} for models; "
        "choose a smaller model, or raise memory_gb if the machine has more"
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
