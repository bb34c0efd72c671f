"""What a worker's device is: its name and how much of its memory models may occupy."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass

import psutil
import torch

SAFE_SHARE = 0.6  # of the memory that is there now: the rest is for activations and for others


@dataclass(frozen=True, kw_only=True)
class Device:
    place: torch.device
    dtype: torch.dtype  # of networks: the fastest that keeps their range
    name: str  # for people
    memory_bytes: int  # for models

    @property
    def widening(self) -> int:
        """How many times a model takes here the 16 bits a number that its card counts with."""
        return self.dtype.itemsize // 2

    @property
    def digest(self) -> str:
        """Of all that decides how a network's numbers come out here: the same digest, the same pictures."""
        kind = "cuda" if self.place.type == "cuda" else platform.machine()
        settings = [kind, self.name, str(self.dtype), torch.get_num_threads(), torch.__version__]
        return hashlib.blake2b(json.dumps(settings).encode(), digest_size=8).hexdigest()


def open_device(text: str, memory_gb: float, threads: int) -> Device:
    """Set the process up for its device, once. Raises RuntimeError when torch does not know the device."""
    if threads:
        torch.set_num_threads(threads)
    device = torch.device(text)
    torch.empty(1, device=device)
    budget = int(memory_gb * 2**30) if memory_gb else int(SAFE_SHARE * _free(device))
    return Device(place=device, dtype=_dtype(device), name=_name(device), memory_bytes=budget)


def _dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a GPU computes in it; float32 on CPUs, most of which emulate bfloat16 several times slower."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
