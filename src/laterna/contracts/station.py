"""What a worker process is told when it is started: its device, its budget and where its folders are."""

from __future__ import annotations

from pathlib import Path

import msgspec

NO_TORCH = 78  # exit status of a worker whose packages that run models are not installed


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's place, passed as JSON on its command line."""

    name: str  # of the worker, for logs
    device: str  # cpu, cuda:0, ...
    media: str  # folder of the media store
    state: str  # folder for what the worker learns (costs)
    memory_gb: float = 0.0  # for models; 0 means a safe share of what there is
    threads: int = 0  # CPU threads; 0 means one a core

    @property
    def costs_file(self) -> Path:
        return Path(self.state) / f"costs-{self.device.replace(':', '-')}.json"
