"""Options that commands share, and the settings that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from laterna.cli.client import Client
    from laterna.config import Settings

Data = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option("--data", help="Folder of the database, media and keys", envvar="LATERNA_DATA", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose; the operator's own where it is not given")]


@contextmanager
def connected(data: Path | None) -> Iterator[Client]:
    """A client of the folder's running server, or of one that is started and lives while it is used."""
    from laterna.cli.client import connect_or_start

    with connect_or_start(settings_of(data)) as client:
        yield client


def settings_of(data: Path | None, **flags: object) -> Settings:
    from laterna.config import load

    return load({"data": data, **flags})
