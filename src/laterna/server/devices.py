"""Which devices to start workers on, without loading torch into the server: the settings' word, or what the driver
says.
"""

from __future__ import annotations

import shutil
import subprocess

from laterna.config import Settings
from laterna.contracts.station import Adapters, Station


def stations(settings: Settings) -> list[Station]:
    """One worker a device."""
    return [
        Station(
            name=f"{device.replace(':', '-')}",
            device=device,
            media=settings.media_place,
            state=str(settings.data),
            memory_gb=settings.memory_gb,
            threads=settings.threads,
            adapters=adapters(settings),
            checkpoint_seconds=settings.checkpoint_seconds,
            hang_seconds=settings.hang_seconds,
            log_level=settings.log_level,
            log_json=settings.log_json,
        )
        for device in settings.devices or found()
    ]


def adapters(settings: Settings) -> Adapters:
    return Adapters(
        own=str(settings.loras),
        cache=str(settings.data / "cache" / "loras"),
        largest_bytes=round(settings.lora_mb * 1e6),
        cache_bytes=round(settings.lora_disk_gb * 1e9),
        memory_bytes=round(settings.lora_memory_gb * 2**30),
        fetch_allow=settings.fetch_allow,
    )


def found() -> tuple[str, ...]:
    """Every NVIDIA GPU that its driver lists, else the CPU."""
    listing = shutil.which("nvidia-smi")
    if listing is None:
        return ("cpu",)
    answer = subprocess.run([listing, "--list-gpus"], capture_output=True, text=True, check=False, timeout=10)
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines()) if answer.returncode == 0 else 0
    return tuple(f"cuda:{index}" for index in range(count)) or ("cpu",)
