"""The one way to fetch what a user's URL names, and to call a user's webhook.

Built on httpcore without the client around it: there are no cookies, no stored credentials and no proxies from the
environment to leak. `targets` judges the URL, `dial` the addresses, `bodies` the size; this module follows redirects
and keeps the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpcore2

from laterna.config import IPNetwork
from laterna.errors import FetchError, FetchTimeout
from laterna.media import bodies, targets
from laterna.media.data_uris import decode_data_uri, is_data_uri
from laterna.media.dial import GuardedBackend, Resolver, resolve
from laterna.media.targets import Target

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
USER_AGENT = "laterna"

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A resource in memory."""

    content: bytes  # decompressed
    content_type: (
        str  # as the server says, lower case, without parameters; "application/octet-stream" when it is silent
    )
    url: str  # where it finally came from, query included: keep it out of logs; "data:" for data: URIs


@dataclass(frozen=True, kw_only=True)
class Version:
    """How a server tells one state of a resource from the next."""

    etag: str | None = None  # absent where it does not say
    last_modified: str | None = None  # absent where it does not say

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the resource only if it is another one by now.

        A server may say what no request can carry back; that is left out, and the resource is fetched again.
        """
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value and value.isascii() and value.isprintable()}


UNKNOWN = Version()


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A resource on disk."""

    path: Path
    size_bytes: int
    sha256: str  # hex digest of the file
    content_type: str  # as in Fetched
    url: str  # as in Fetched
    version: Version = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class _Answer:
    content_type: str
    target: Target  # after redirects
    version: Version


class Fetcher:
    """Fetches public URLs within limits of size, time and type.

    Every method raises AddressRefused for a URL that may not be reached, FetchTimeout when the whole call takes longer
    than `timeout_s`, and FetchError for anything else that goes wrong on the way.
    """

    def __init__(
        self,
        *,
        allow: tuple[IPNetwork, ...] = (),
        resolver: Resolver = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            allow: private networks that users' URLs may reach after all. Dangerous: whoever may call the API can then
                talk to everything in them. Empty unless an operator or a test says otherwise.
            resolver: how names become addresses.
            trust: whose certificates are believed; certifi's when None.
        """
        self._backend = GuardedBackend(allow=allow, resolver=resolver)
        self._trust = trust or ssl.create_default_context(cafile=certifi.where())

    async def get(
        self, url: str, *, limit_bytes: int, timeout_s: float, content_types: tuple[str, ...] | None = None
    ) -> Fetched:
        """Fetch into memory; `data:` URIs are decoded. Raises also FetchTooLarge and WrongContentType."""
        if is_data_uri(url):
            return _from_data(url, limit_bytes, content_types)
        content = bytearray()

        async def sink(piece: bytes) -> None:
            content.extend(piece)

        answer = await self._fetch(url, sink, limit_bytes, timeout_s, content_types)
        assert answer is not None
        return Fetched(content=bytes(content), content_type=answer.content_type, url=answer.target.url)

    async def download(
        self, url: str, path: Path, *, limit_bytes: int, timeout_s: float, content_types: tuple[str, ...] | None = None
    ) -> Downloaded:
        """Fetch into a file that appears complete or not at all. Raises as `get` does; data: URIs are refused."""
        found = await self.refresh(
            url, path, UNKNOWN, limit_bytes=limit_bytes, timeout_s=timeout_s, content_types=content_types
        )
        assert found is not None
        return found

    async def refresh(
        self,
        url: str,
        path: Path,
        known: Version,
        *,
        limit_bytes: int,
        timeout_s: float,
        content_types: tuple[str, ...] | None = None,
    ) -> Downloaded | None:
        """As `download`, or None where the server says that the resource is still the version that is known."""
        digest = hashlib.sha256()
        partial = path.with_name(f"{path.name}.{os.urandom(6).hex()}.part")
        try:
            with partial.open("xb") as file:

                async def sink(piece: bytes) -> None:
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)

                answer = await self._fetch(url, sink, limit_bytes, timeout_s, content_types, known)
                size = file.tell()
            if answer is None:
                return None
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return Downloaded(
            path=path,
            size_bytes=size,
            sha256=digest.hexdigest(),
            content_type=answer.content_type,
            url=answer.target.url,
            version=answer.version,
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float = 15.0) -> int:
        """Post a body and return the status, whatever it is. Follows no redirects and reads no answer."""
        target = targets.parse(url)
        async with _limits(timeout_s, target), self._open("POST", target, headers, body) as response:
            return response.status

    async def _fetch(
        self,
        url: str,
        sink: Sink,
        limit_bytes: int,
        timeout_s: float,
        accepted: tuple[str, ...] | None,
        known: Version = UNKNOWN,
    ) -> _Answer | None:
        """None where the server says that it is still the version that is known."""
        target, conditions = targets.parse(url), known.conditions()
        async with _limits(timeout_s, target):
            for _ in range(MAX_REDIRECTS + 1):
                async with self._open("GET", target, conditions, None) as response:
                    if response.status == 304 and conditions:
                        return None
                    if response.status == 200:
                        kind = bodies.content_type(response, accepted, target)
                        async for piece in bodies.read(response, limit_bytes=limit_bytes, source=target):
                            await sink(piece)
                        return _Answer(content_type=kind, target=target, version=_version(response))
                    target = _next(response, target)
        raise FetchError(f"{targets.parse(url)} redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _open(
        self, method: str, target: Target, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[httpcore2.Response]:
        """One request on a connection of its own, so that each hop is resolved and checked anew."""
        sent = {"Host": target.authority, "User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip"}
        sent.update(headers, Connection="close")
        url = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.resource.encode()
        )
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._trust, network_backend=self._backend) as pool,
            pool.stream(method, url, headers=list(sent.items()), content=body) as response,
        ):
            yield response


def _from_data(url: str, limit_bytes: int, accepted: tuple[str, ...] | None) -> Fetched:
    kind, content = decode_data_uri(url, limit_bytes=limit_bytes)
    bodies.check_type(kind, accepted, "the data: URI")
    return Fetched(content=content, content_type=kind, url="data:")


def _version(response: httpcore2.Response) -> Version:
    return Version(etag=bodies.header(response, b"etag"), last_modified=bodies.header(response, b"last-modified"))


def _next(response: httpcore2.Response, target: Target) -> Target:
    location = bodies.header(response, b"location")
    if response.status not in REDIRECTS or not location:
        raise FetchError(f"{target} answered with status {response.status}; the URL must answer 200")
    return target.redirected(location)


@asynccontextmanager
async def _limits(timeout_s: float, target: Target) -> AsyncIterator[None]:
    """Bound everything inside by one time limit, and give the library's errors our names."""
    try:
        with _named(target):
            async with asyncio.timeout(timeout_s):
                yield
    except TimeoutError as error:
        raise FetchTimeout(f"{target} took longer than {timeout_s:g} s") from error


@contextmanager
def _named(target: Target) -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise FetchTimeout(f"{target} did not answer in time") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
        raise FetchError(f"{target} could not be fetched: {type(error).__name__}") from error
