"""Settings: declared once here, read once at the edge from flags, environment and one file, handed on in small parts.

Precedence: command-line flags, then `LATERNA_*` environment variables, then `laterna.toml` in the data folder, then the
defaults below. Unknown keys fail. Flags, variables and the documentation derive from the fields; no other module reads
the environment for settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, get_type_hints

import platformdirs

from laterna.errors import ConfigError

FILE = "laterna.toml"
PREFIX = "LATERNA_"
NO_SETTING = "LATERNA_URL"  # what `laterna env` tells clients
IPNetwork = IPv4Network | IPv6Network


def knob(default: Any, about: str, **limits: Any) -> Any:
    """A field of `Settings` with the sentence that its flag, variable and documentation share."""
    return field(default=default, metadata={"about": about, **limits})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything an operator may set. `data` alone cannot stand in the file, which lies inside it."""

    data: Path = knob(Path(platformdirs.user_data_dir("laterna", False)), "Folder of the database, media and keys")
    host: str = knob("127.0.0.1", "Address to listen on")
    store: str = knob("", "PostgreSQL database, postgresql://user:password@host/name (default: a file in data)")
    shared: Path | None = knob(None, "Folder that servers on one database share: keys, media, cards (default: data)")
    api_only: bool = knob(False, "Leave the work to other servers on the database, which have the devices")
    files: str = knob("", "Bucket for files, s3://name/prefix, with AWS_* variables (default: a folder in data)")
    direct: bool = knob(False, "Send readers of generated files to the bucket, by addresses that expire")
    port: int = knob(8000, "Port for HTTP", ge=0, le=65535)
    tls_port: int = knob(8443, "Port for TLS", ge=0, le=65535)
    names: tuple[str, ...] = knob((), "Further host names that clients use for this server, comma-separated")
    trusted_proxies: tuple[str, ...] = knob((), "Addresses of proxies whose X-Forwarded-* headers are believed")
    cards: Path | None = knob(None, "Folder of further model cards (default: cards/ in the data folder)")
    devices: tuple[str, ...] = knob((), "Devices to work on, such as cuda:0 or cpu (default: every GPU, else cpu)")
    memory_gb: float = knob(0.0, "Memory for models on each device, GiB (0: a safe share of what there is)", ge=0)
    threads: int = knob(0, "CPU threads of a worker (0: one a core)", ge=0, le=1024)
    lease_seconds: float = knob(10.0, "A worker that is silent for so long loses its requests", ge=1, le=600)
    attempts: int = knob(
        3, "Times a request is tried when its worker dies under it, or something of ours fails", ge=1, le=10
    )
    checkpoint_seconds: float = knob(
        1.0, "Least seconds from one save of a running request to the next (0: before every step, a test)", ge=0
    )
    hang_seconds: float = knob(60.0, "A device call may last this long, or 20 times its prediction", ge=1)
    generation_seconds: float = knob(3600.0, "A request may run for so long", ge=1)
    queue_length: int = knob(10_000, "Requests that may wait", ge=1)
    tenant_concurrency: int = knob(0, "Requests of a new tenant that may run at once (0: no limit)", ge=0)
    tenant_queue_length: int = knob(0, "Requests of a new tenant that may wait (0: no limit)", ge=0)
    tenant_rate: int = knob(0, "Requests that a new tenant may submit in a minute (0: no limit)", ge=0)
    tenant_storage_gb: float = knob(0.0, "Files of a new tenant that are kept, GB (0: no limit)", ge=0)
    body_mb: float = knob(10.0, "Largest JSON body, MB", gt=0, le=100)
    upload_mb: float = knob(2048.0, "Largest uploaded file, MB", gt=0)
    keep_days: float = knob(30.0, "Days until results and files are deleted (0: never)", ge=0)
    lora_mb: float = knob(1024.0, "Largest LoRA that a request may name, MB", gt=0)
    lora_disk_gb: float = knob(20.0, "Disk for LoRAs that were fetched, GB", gt=0)
    lora_memory_gb: float = knob(2.0, "Memory for LoRAs on each device, beside the models', GiB", gt=0)
    fetch_allow: tuple[str, ...] = knob(
        (), "Private networks that users' URLs may reach after all, such as 10.1.0.0/16: a danger, leave it empty"
    )
    invoice_from: str = knob("", "Who invoices come from: name and address, | begins a new line")
    metrics_open: bool = knob(False, "Answer /metrics without a key")
    traces: str = knob("", "OpenTelemetry collector that gets traces, such as http://localhost:4318 (default: none)")
    log_level: str = knob("info", "debug, info, warning or error", choices=("debug", "info", "warning", "error"))
    log_json: bool = knob(False, "Log JSON lines instead of text")

    @property
    def database(self) -> Path:
        return self.data / "laterna.db"

    @property
    def common(self) -> Path:
        """What all servers on a database must have alike lies here."""
        return self.shared or self.data

    @property
    def media(self) -> Path:
        return self.common / "media"

    @property
    def media_place(self) -> str:
        """Of the media store: a folder or the URL of a bucket."""
        return self.files or str(self.media)

    @property
    def cards_folder(self) -> Path:
        return self.cards or self.common / "cards"

    @property
    def loras(self) -> Path:
        """The operator's own adapters: NAME.safetensors is `laterna/NAME`."""
        return self.common / "loras"

    @property
    def signatory(self) -> Path:
        """The key that outputs are signed with."""
        return self.common / "provenance"

    @property
    def key_file(self) -> Path:
        return self.common / "key"

    @property
    def address_file(self) -> Path:
        """Where a running server writes its ports, so that commands of the same data folder find it."""
        return self.data / "server.json"

    def fetch_networks(self) -> tuple[IPNetwork, ...]:
        return tuple(ip_network(text) for text in self.fetch_allow)


def load(flags: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; flags that are None are absent. Raises ConfigError naming source, key and value."""
    environ = os.environ if environ is None else environ
    values = {
        key: _parse(key, value, "--" + key.replace("_", "-")) for key, value in flags.items() if value is not None
    }
    for name, text in environ.items():
        if name.startswith(PREFIX) and name != NO_SETTING:
            key = name.removeprefix(PREFIX).lower()
            values.setdefault(key, _parse(key, text, name))
    data = values.get("data", Settings().data)
    assert isinstance(data, Path)
    for key, value in _file(data / FILE).items():
        values.setdefault(key, _parse(key, value, str(data / FILE)))
    found = Settings(**values)
    for key in ("shared", "api_only"):
        if getattr(found, key) and not found.store:
            raise ConfigError(f"{key}: only for several servers on one PostgreSQL database; set store too, or leave it")
    return found


def _file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from error
    if "data" in found:
        raise ConfigError(f"{path}: 'data' cannot be set in the file that lies inside it; use --data or LATERNA_DATA")
    return found


_TYPES = get_type_hints(Settings)
_FIELDS = {item.name: item for item in fields(Settings)}


def _parse(key: str, value: object, source: str) -> Any:
    if key not in _FIELDS:
        raise ConfigError(f"{source}: unknown setting {key!r}; known: {', '.join(sorted(_FIELDS))}")
    try:
        parsed = _convert(_TYPES[key], value)
        _check(parsed, _FIELDS[key].metadata)
        if key == "fetch_allow":
            [ip_network(text) for text in parsed]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{source}: {key} = {value!r}: {error}; {_FIELDS[key].metadata['about']}") from error
    return parsed


def _convert(kind: Any, value: object) -> Any:
    if kind is bool:
        return _bool(value)
    if kind in (int, float, str):
        return kind(str(value))
    if kind == tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        return tuple(str(item).strip() for item in items if str(item).strip())
    return Path(str(value)).expanduser().absolute()


def _bool(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("expected true or false")
    return words[str(value).lower()]


def _check(value: Any, limits: Mapping[str, Any]) -> None:
    if "choices" in limits and value not in limits["choices"]:
        raise ValueError(f"expected one of {', '.join(limits['choices'])}")
    if "ge" in limits and value < limits["ge"]:
        raise ValueError(f"must be at least {limits['ge']}")
    if "gt" in limits and value <= limits["gt"]:
        raise ValueError(f"must be above {limits['gt']}")
    if "le" in limits and value > limits["le"]:
        raise ValueError(f"must be at most {limits['le']}")
