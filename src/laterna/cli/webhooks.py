"""`laterna webhooks`: the keys that deliveries are signed with, in the data folder, whether a server runs or not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laterna.cli.options import Data, settings_of

if TYPE_CHECKING:
    from laterna.dispatch.signing import SigningKeys

app = typer.Typer(help="Show and rotate the keys that webhooks are signed with.", no_args_is_help=True)


@app.command()
def keys(data: Data = None) -> None:
    """Print the public keys that receivers should know, as JSON."""
    print(json.dumps(_keys(data).jwks(), indent=2))


@app.command()
def rotate(
    now: Annotated[bool, typer.Option("--now", help="For a key that leaked: sign with the new one at once")] = False,
    data: Data = None,
) -> None:
    """Make a new key. It is published now and signs a day later, when receivers know it; the server goes on."""
    print(_keys(data).rotate(at_once=now).id)
    when = "signs at once; all others are void" if now else "signs in 25 hours"
    print(f"the new key is published and {when}", file=sys.stderr)


def _keys(data: Path | None) -> SigningKeys:
    from laterna.clock import SystemClock
    from laterna.dispatch.signing import SigningKeys
    from laterna.private import private_folder

    settings = settings_of(data)
    private_folder(settings.common)
    return SigningKeys.open(settings.common, SystemClock())
