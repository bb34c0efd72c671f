"""What a worker process is told when it is started: its device, its budget and where its folders are."""

from __future__ import annotations

from pathlib import Path

import msgspec

NO_TORCH = 78  # exit status of a worker whose packages that run models are not installed


class Adapters(msgspec.Struct, frozen=True, kw_only=True):
    """Where adapters come from and how much room they may take."""

    own: str  # folder of the operator's, by name
    cache: str  # folder of those that were fetched; all workers share it
    largest_bytes: int  # of one
    cache_bytes: int  # of the folder
    memory_bytes: int  # on the device
    fetch_allow: tuple[str, ...] = ()  # private networks that may be fetched from


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's place, passed as JSON on its command line."""

    name: str  # of the worker, for logs
    device: str  # cpu, cuda:0, ...
    media: str  # the media store: a folder or the URL of a bucket
    state: str  # folder for what the worker learns (costs), chooses (plans) and saves (checkpoints)
    memory_gb: float = 0.0  # for models; 0 means a safe share of what there is
    threads: int = 0  # CPU threads; 0 means one a core
    adapters: Adapters | None = None  # absent: models are served without any

    checkpoint_seconds: float = 1.0  # least time between two saves of a request; 0 saves before every step
    hang_seconds: float = 60.0  # that a device call may last whatever was predicted
    log_level: str = "info"  # debug, info, warning or error
    log_json: bool = False  # JSON lines instead of text

    @property
    def plans(self) -> Path:
        """How models are run, chosen once; shared by all workers."""
        return Path(self.state) / "plans"

    @property
    def checkpoints(self) -> Path:
        """Shared by all workers, so that any of them may go on with a request."""
        return Path(self.state) / "checkpoints"

    @property
    def signatory(self) -> Path:
        """The key that outputs are signed with; shared by all workers."""
        return Path(self.state) / "provenance"

    @property
    def costs_file(self) -> Path:
        return Path(self.state) / f"costs-{self.device.replace(':', '-')}.json"
