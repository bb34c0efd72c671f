"""An engine plan: how one model is run on one device. Chosen once, kept under its digest, never chosen anew.

Pictures depend on it, so that timing noise at another start must not change it: `Plans` keeps in a folder what was
measured of a device and what follows from it for each model. Workers of one data folder share it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import torch

from laterna.compiler import kernels
from laterna.compiler.dtypes import fastest, named_dtype, times

log = logging.getLogger(__name__)

PACKAGES = ("torch", "diffusers", "transformers")  # whose versions networks are computed by
Kept = TypeVar("Kept", bound=msgspec.Struct)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The class of device and what runs there: another setting, another plan."""

    device: str  # the processor and what of it is used
    threads: int  # of the CPU
    runtimes: dict[str, str]  # package or library -> version


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a device."""

    setting: Setting
    times: dict[str, float]  # type of numbers -> time, of float32's


class EnginePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen. No times: two devices of one setting have one plan."""

    model: str  # id and revision
    setting: Setting
    dtype: str  # of the networks
    kernels: tuple[str, ...]  # what was made of their layers

    @property
    def digest(self) -> str:
        return _digest(self)


def setting_of(place: torch.device) -> Setting:
    """The present one: of this process, its thread count included."""
    runtimes = {name: _version(name) for name in PACKAGES}
    if place.type == "cuda":
        runtimes |= {"cuda": str(torch.version.cuda), "cudnn": str(cast("Any", torch.backends.cudnn).version())}
        device = str(torch.cuda.get_device_name(place))
    else:
        device = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return Setting(device=device, threads=torch.get_num_threads(), runtimes=runtimes)


class Plans:
    """The plans of one device. What is unreadable is chosen anew; where nothing can be written all holds for a process.

    Not thread-safe.
    """

    def __init__(
        self,
        folder: Path,
        place: torch.device,
        setting: Setting,
        measure: Callable[[torch.device], dict[str, float]] = times,
    ) -> None:
        self._folder = folder
        self._place = place
        self._setting = setting
        self._measured = self._device(measure)
        self._known: dict[str, EnginePlan] = {}

    def dtype(self, dtypes: Sequence[str]) -> str:
        """The fastest type of numbers among those that are exact enough, the preferred ones first."""
        return fastest(self._measured.times, dtypes)

    def of(self, model: str, dtypes: Sequence[str]) -> EnginePlan:
        """The model's plan, kept from now on; `dtypes` are exact enough for it."""
        if model not in self._known:
            self._known[model] = self._find(model, dtypes) or self._choose(model, dtypes)
        return self._known[model]

    def _device(self, measure: Callable[[torch.device], dict[str, float]]) -> Measured:
        """Measured once: of workers that begin together, the first to say so counts for all."""
        path = self._folder / f"device-{_digest(self._setting)}.json"
        found = _read(path, Measured)
        if found is not None:
            return found
        new = Measured(setting=self._setting, times=measure(self._place))
        self._keep(path, new)
        return _read(path, Measured) or new

    def _choose(self, model: str, dtypes: Sequence[str]) -> EnginePlan:
        dtype = self.dtype(dtypes)
        made = kernels(self._place, named_dtype(dtype))
        plan = EnginePlan(model=model, setting=self._setting, dtype=dtype, kernels=made)
        self._keep(self._folder / f"{plan.digest}.json", plan)
        return plan

    def _find(self, model: str, dtypes: Sequence[str]) -> EnginePlan | None:
        """One that was kept and can be carried out still."""
        for path in sorted(self._folder.glob("*.json")):
            plan = None if path.name.startswith("device-") else _read(path, EnginePlan)
            if (
                plan is not None
                and (plan.model, plan.setting) == (model, self._setting)
                and plan.dtype in dtypes
                and plan.kernels == kernels(self._place, named_dtype(plan.dtype))
            ):
                return plan
        return None

    def _keep(self, path: Path, value: msgspec.Struct) -> None:
        """Written atomically; where another worker was first, its word counts."""
        new = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.format(msgspec.json.encode(value)))
            if path.exists() and _read(path, type(value)) is None:
                path.unlink(missing_ok=True)
            _put_first(new, path)
        except OSError as error:
            log.warning("%s cannot be kept, and is chosen anew at the next start: %s", path, error)


def _put_first(new: Path, path: Path) -> None:
    """Move the file there unless there is one."""
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links on this file system
        os.replace(new, path)
    new.unlink(missing_ok=True)


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    """None where it is not there or not readable as such."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _digest(value: msgspec.Struct) -> str:
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.distribution(package).version
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    """The CPU's model where the system tells it: libraries choose their kernels by it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
