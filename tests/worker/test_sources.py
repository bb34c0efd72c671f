"""Adapters arrive from every place there is, once, and again only when they changed there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from laterna.clock import Clock
from laterna.contracts.generation import Lora
from laterna.contracts.station import Adapters
from laterna.errors import AddressRefused, FetchError, FetchTooLarge, FileNotFound, MissingAdapter
from laterna.lora.shelf import Shelf, digest_of
from laterna.media.objects import MediaStore, new_key
from laterna.worker.sources import FRESH_US, Sources
from tests.families.hub_server import Hub, serve
from tests.media.sites import page, site

LIMIT = 10_000  # bytes


class Hand:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.us = 1_000_000

    def now_us(self) -> int:
        return self.us

    def monotonic_ns(self) -> int:
        return self.us * 1000


class Place:
    def __init__(self, folder: Path, clock: Clock | None = None, allow: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
        self.own = folder / "own"
        self.own.mkdir(parents=True)
        self.media = MediaStore(folder / "media")
        self.shelf = Shelf(folder / "cache", 10 * LIMIT)
        self.clock = clock or Hand()
        station = Adapters(
            own=str(self.own),
            cache=str(folder / "cache"),
            largest_bytes=LIMIT,
            cache_bytes=10 * LIMIT,
            memory_bytes=LIMIT,
            fetch_allow=allow,
        )
        self.sources = Sources(station, self.shelf, self.media, self.clock)

    def content(self, lora: Lora) -> bytes:
        return self.shelf.take(self.sources.digest(lora))[0].read_bytes()

    def left(self) -> list[str]:
        return [path.name for path in (self.shelf._folder).iterdir() if path.suffix == ".part"]


def test_the_operators_own(tmp_path: Path) -> None:
    place, lora = Place(tmp_path), Lora(path="laterna/mine")
    with pytest.raises(MissingAdapter, match="laterna/mine"):
        place.sources.digest(lora)
    file = place.own / "mine.safetensors"
    file.write_bytes(b"one")
    assert place.content(lora) == b"one"
    digest = place.sources.digest(lora)
    assert digest == digest_of(file)
    file.write_bytes(b"three")
    assert place.content(lora) == b"three"
    assert place.shelf.take(digest)[0].read_bytes() == b"one", "what runs keeps what it began with"
    file.write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(FetchTooLarge, match="lora_mb"):
        place.sources.digest(lora)
    assert not place.left()


def test_a_file_of_this_server(tmp_path: Path) -> None:
    place, key = Place(tmp_path), new_key()
    place.media.put_sync(key, b"uploaded")
    lora = Lora(path=f"http://localhost/cdn/files/{key}/a", file=key)
    assert place.content(lora) == place.content(lora) == b"uploaded"
    place.media.delete_sync(key)
    with pytest.raises(FileNotFound):
        place.sources.digest(lora)
    large = new_key()
    place.media.put_sync(large, b"x" * (LIMIT + 1))
    with pytest.raises(FetchTooLarge):
        place.sources.digest(Lora(path="x/y", file=large))
    assert not place.left()


@pytest.mark.anyio
async def test_a_url_is_fetched_again_only_when_it_changed(tmp_path: Path) -> None:
    clock = Hand()
    place = Place(tmp_path, clock)
    async with site() as web:
        web.pages["/a"] = page(b"one", ETag='"1"')
        lora = Lora(path=web.url("/a"))
        found = await asyncio.gather(*(asyncio.to_thread(place.content, lora) for _ in range(4)))
        assert found == [b"one"] * 4
        assert len(web.requests) == 1, "four at once are one fetch, and what is fresh is not asked for"
        clock.us += FRESH_US
        web.pages["/a"] = page(status="304 Not Modified")
        assert await asyncio.to_thread(place.content, lora) == b"one"
        assert 'If-None-Match: "1"' in web.requests[1]
        clock.us += FRESH_US
        web.pages["/a"] = page(b"two", Last_Modified="yesterday")
        assert await asyncio.to_thread(place.content, lora) == b"two"
        clock.us += FRESH_US
        web.pages["/a"] = page(status="403 Forbidden")
        with pytest.raises(FetchError, match="403"):
            await asyncio.to_thread(place.content, lora)
        assert "If-Modified-Since: yesterday" in web.requests[3]
        web.pages["/large"] = page(b"x" * (LIMIT + 1))
        with pytest.raises(FetchTooLarge):
            await asyncio.to_thread(place.content, Lora(path=web.url("/large")))
    assert not place.left()


@pytest.mark.anyio
async def test_what_left_the_shelf_is_fetched_anew(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with site() as web:
        web.pages["/a"] = page(b"one", ETag='"1"')
        lora = Lora(path=web.url("/a"))
        digest = await asyncio.to_thread(place.sources.digest, lora)
        place.shelf.take(digest)[0].unlink()
        assert await asyncio.to_thread(place.content, lora) == b"one"
        assert "If-None-Match" not in web.requests[1]


def test_private_addresses_are_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, allow=())
    for url in ("http://127.0.0.1:1/a", "http://localhost:8000/cdn/files/x", "http://169.254.169.254/latest"):
        with pytest.raises(AddressRefused):
            place.sources.digest(Lora(path=url))


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    (folder / "pytorch_lora_weights.safetensors").write_bytes(b"usual")
    (folder / "sub" / "other.safetensors").write_bytes(b"other")
    (folder / "sub" / "adapter_config.json").write_bytes(b'{"lora_alpha": 3}')
    (folder / "large.safetensors").write_bytes(b"x" * (LIMIT + 1))
    pickled, gated = tmp_path / "pickled", tmp_path / "gated"
    for other in (pickled, gated):
        other.mkdir()
        (other / "weights.bin").write_bytes(b"pickle")
    (gated / "a.safetensors").write_bytes(b"secret")
    found = Hub()
    found.repositories = {
        "me/one": {"main": folder},
        "me/pickled": {"main": pickled},
        "me/gated": {"main": gated},
    }
    found.gated = {"me/gated"}
    return found


def test_a_hub(tmp_path: Path, hub: Hub) -> None:
    """`huggingface_hub` reads its environment when it is imported: by a process of its own."""
    with serve() as server:
        server.repositories, server.gated = hub.repositories, hub.gated
        away = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
        here = {**away, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_operators"}
        paths = ["me/one", "me/one/sub/other.safetensors", "me/one/large.safetensors", "me/one/none.safetensors"]
        said = ask(tmp_path, here, *paths, "me/pickled", "me/pickled/weights.bin", "me/gated", "me/nobody")
        assert server.credentials == [], "the operator's token was sent"
    assert said[0] == {"content": "usual", "config": ""}
    assert said[1] == {"content": "other", "config": '{"lora_alpha": 3}'}
    assert [found.get("error") for found in said[2:]] == [
        "FetchTooLarge",
        "MissingAdapter",
        "UnreadableAdapter",
        "UnreadableAdapter",
        "MissingAdapter",
        "MissingAdapter",
    ]
    assert not any(path.is_file() for path in (tmp_path / "hf").rglob("*.safetensors")), "it lies on the shelf alone"
    later = ask(tmp_path, {**away, "HF_HOME": str(tmp_path / "hf")}, "me/one", "me/pickled")
    assert later[0] == said[0], "what the hub gave once is here while it is away"
    assert later[1]["error"] == "FetchError"


def ask(folder: Path, environ: dict[str, str], *paths: str) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "tests.worker.hub_client", str(folder), *paths]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]
