"""What a worker's device is: its name, how much of its memory models may occupy, and how they are run there."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from laterna.compiler.dtypes import named_dtype
from laterna.compiler.plan import EnginePlan, Plans, setting_of
from laterna.contracts.generation import ModelRef
from laterna.contracts.traits import dtypes_of, family_names

SAFE_SHARE = 0.6  # of the memory that is there now: the rest is for activations and for others
CARD_BYTES = 2  # a number, of the sizes that cards tell


@dataclass(frozen=True, kw_only=True)
class Device:
    place: torch.device
    name: str  # for people
    memory_bytes: int  # for models
    plans: Plans  # how models are run here

    def plan(self, ref: ModelRef) -> EnginePlan:
        """How the model is run here: chosen when it is first asked for, the same ever after."""
        return self.plans.of(ref.name, dtypes_of(ref.family))

    def dtype(self, ref: ModelRef) -> torch.dtype:
        return named_dtype(self.plan(ref).dtype)

    def widens(self, ref: ModelRef) -> int:
        """How many times the model takes here the bytes that its card says."""
        return self.dtype(ref).itemsize // CARD_BYTES

    @property
    def widening(self) -> dict[str, int]:
        """The same for models to come, by family."""
        return {
            family: named_dtype(self.plans.dtype(dtypes_of(family))).itemsize // CARD_BYTES for family in family_names()
        }


def open_device(text: str, memory_gb: float, threads: int, plans: Path) -> Device:
    """Set the process up for its device, once. Raises RuntimeError when torch does not know the device.

    `plans`: the folder of what was chosen here before.
    """
    if threads:
        torch.set_num_threads(threads)
    device = torch.device(text)
    torch.empty(1, device=device)
    budget = int(memory_gb * 2**30) if memory_gb else int(SAFE_SHARE * _free(device))
    kept = Plans(plans, device, setting_of(device))
    return Device(place=device, name=_name(device), memory_bytes=budget, plans=kept)


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
