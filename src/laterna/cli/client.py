"""The CLI's own client of a server: plain HTTP to the queue, with errors as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from laterna.config import Settings
from laterna.errors import LaternaError, Unavailable
from laterna.server.address import Address, find_address
from laterna.server.embedded import embedded


class Client:
    """One server, one key."""

    def __init__(self, address: Address, key: str) -> None:
        self.address = address
        self._http = httpx2.Client(
            base_url=address.http, headers={"Authorization": f"Key {key}"}, timeout=60, trust_env=False
        )

    def get(self, path: str) -> dict[str, Any]:
        with self._reaching():
            return _answer(self._http.get(path))

    def put(self, path: str) -> dict[str, Any]:
        with self._reaching():
            return _answer(self._http.put(path))

    def send(self, method: str, path: str, body: dict[str, Any], once: str = "") -> dict[str, Any]:
        """`once` is the idempotency key of what must not be done twice."""
        headers = {"idempotency-key": once} if once else None
        with self._reaching():
            return _answer(self._http.request(method, path, json=body, headers=headers))

    def lines(self, path: str) -> tuple[str, str | None]:
        """Text of an export, and the cursor after it; None on the last."""
        with self._reaching():
            response = self._http.get(path)
        if response.status_code >= 400:
            _answer(response)
        return response.text, response.headers.get("x-laterna-next-cursor")

    def document(self, path: str) -> bytes:
        """A file that the server makes."""
        with self._reaching():
            response = self._http.get(path)
        if response.status_code >= 400:
            _answer(response)
        return response.content

    def submit(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._reaching():
            return _answer(self._http.post(f"/queue/{endpoint}", json=body))

    def download(self, url: str) -> bytes:
        with self._reaching():
            response = self._http.get(url)
        if response.status_code >= 400:
            raise LaternaError(f"{url}: the server answered {response.status_code}")
        return response.content

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """The data of a server-sent event stream, one after another."""
        patient = httpx2.Timeout(60, read=None)
        with self._reaching(), self._http.stream("GET", path, timeout=patient) as response:
            if response.status_code >= 400:
                response.read()
                _answer(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raises Unavailable where the server does not answer, or not to the end."""
        try:
            yield
        except httpx2.TransportError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the server at {self.address.http} does not answer: {why}; was it stopped?") from error


def connect(settings: Settings) -> Client:
    """A client of the data folder's running server. Raises Unavailable when none runs."""
    return Client(find_address(settings), settings.key_file.read_text().strip())


@contextmanager
def connect_or_start(settings: Settings) -> Iterator[Client]:
    """A client of the running server, or of one that is started and lives while it is used."""
    with embedded(settings) as address:
        yield Client(address, settings.key_file.read_text().strip())


def _answer(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = {}
    if response.status_code >= 400:
        raise LaternaError(_reason(body) or f"the server answered {response.status_code}")
    return body if isinstance(body, dict) else {"value": body}


def _reason(body: Any) -> str:
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(body, dict) and isinstance(body.get("error"), dict):  # the platform API's shape
        return str(body["error"].get("message", ""))
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(str(p) for p in d.get('loc', [])[1:])}: {d.get('msg')}" for d in detail)
    return str(detail or (body.get("message") if isinstance(body, dict) else "") or "")
