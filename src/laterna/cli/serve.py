"""`laterna serve`: the server in the foreground."""

from __future__ import annotations

import asyncio
import sys

from laterna.config import Settings
from laterna.server.address import Address
from laterna.server.server import serve as run


def serve(settings: Settings) -> None:
    """Run until Ctrl-C or SIGTERM; running requests go back to the queue."""
    asyncio.run(run(settings, lambda address: print(_welcome(settings, address), file=sys.stderr)))


def _welcome(settings: Settings, address: Address) -> str:
    laterna = sys.argv[0] if sys.argv[0].endswith("laterna") else "laterna"
    return f"""
Laterna is up.

  address   {address.http}
  TLS       https://{address.tls}
  key       {settings.key_file.read_text().strip()}

Try it, in another terminal:

  {laterna} run laterna/sprite "a red fox on a teal background" -o fox.png
  {laterna} exec -- python -c 'import fal_client; print(fal_client.run("laterna/sprite", {{"prompt": "a cat"}}))'
  eval "$({laterna} env)"  # the same settings for every client started from this shell
  {laterna} models
  curl {address.http}/laterna/sprite -H "Authorization: Key $FAL_KEY" -d '{{"prompt": "a rocket"}}'
"""
