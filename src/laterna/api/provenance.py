"""The authority that outputs are signed under, for whoever wants to tell this server's files from others'; no key is
needed.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from laterna.api.services import Services
from laterna.errors import FileNotFound
from laterna.media.signatory import authority

PATH = "/.well-known/provenance.pem"


class OutputsAuthority:
    """`/.well-known/provenance.pem`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route(PATH, self.authority, methods=["GET"])]

    async def authority(self, request: Request) -> Response:
        """Its certificate, PEM."""
        found = await asyncio.to_thread(authority, self._services.settings.signatory)
        if found is None:
            raise FileNotFound("nothing was signed here yet")
        return Response(found, media_type="application/x-pem-file")
