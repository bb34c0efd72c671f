"""`laterna serve`: the server in the foreground."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import structlog

from laterna.config import Settings
from laterna.server.address import Address
from laterna.server.server import serve as run

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Run until Ctrl-C or SIGTERM; running requests go back to the queue.

    Who reads is told address, key and what to try; a machine that reads (`log_json`) the addresses alone.
    """

    def up(address: Address) -> None:
        if settings.log_json:
            log.info("laterna is up", http=address.http, tls=address.tls, key_file=str(settings.key_file))
        else:
            print(_welcome(settings, address), file=sys.stderr)

    asyncio.run(run(settings, up))


def _welcome(settings: Settings, address: Address) -> str:
    python = shlex.quote(_short(sys.executable))
    typed = _short(sys.argv[0])
    laterna = shlex.quote(typed) if Path(typed).name == "laterna" else f"{python} -m laterna.cli"
    data = "" if settings.data == Settings().data else f" --data {shlex.quote(str(settings.data))}"
    client = "" if find_spec("fal_client") else f"  {python} -m pip install fal-client\n"
    return f"""
Laterna is up.

  address   {address.http}
  TLS       https://{address.tls}
  key       {settings.key_file.read_text().strip()}

Try it, in another terminal:

  {laterna} run{data} laterna/sprite "a red fox on a teal background" -o fox.png
{client}  {laterna} exec{data} -- {python} -c '{_PYTHON}'
  eval "$({laterna} env{data})"  # the same settings for every client started from this shell
  {laterna} models{data}
  curl {address.http}/laterna/sprite -H "Authorization: Key $FAL_KEY" -d '{{"prompt": "a rocket"}}'
"""


_PYTHON = 'import fal_client; print(fal_client.run("laterna/sprite", {"prompt": "a cat"}))'


def _short(program: str) -> str:
    """Its path as it is typed in this folder, whether or not another terminal has its environment activated."""
    beside = os.path.relpath(program)
    return program if beside.startswith("..") else beside if os.sep in beside else f".{os.sep}{beside}"
