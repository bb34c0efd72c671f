"""Adapters through a real worker: they change the pictures of their own requests, and hold nobody else up."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from laterna.contracts.generation import Lora, ModelRef
from laterna.contracts.messages import Assign, Cancel, Failed, Finished, Note, Progress
from laterna.contracts.station import Adapters
from laterna.families import load_family
from laterna.families.flux.family import Flux
from laterna.media.objects import MediaStore, new_key
from tests.lora.making import make, peft, write
from tests.lora.networks import unet_networks
from tests.media.sites import page, site, stream
from tests.worker.drive import Driven, order, worker

SPRITE = ModelRef(
    id="laterna/sprite",
    revision="1",
    family="flux",
    weights="builtin:sprite",
    resident_bytes=40_000_000,
    settings={"max_sequence_length": 16},
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    folder = tmp_path_factory.mktemp("worker")
    own = folder / "loras"
    own.mkdir()
    write_adapters(own)
    place = Adapters(
        own=str(own),
        cache=str(folder / "cache"),
        largest_bytes=10**8,
        cache_bytes=10**9,
        memory_bytes=10**9,
        fetch_allow=("127.0.0.0/8",),
    )
    with worker(folder, adapters=place) as driven:
        yield driven


def write_adapters(own: Path) -> None:
    family = load_family(SPRITE, torch.device("cpu"))
    assert isinstance(family, Flux)
    networks = {"transformer": family._network.transformer}
    write(own / "good.safetensors", peft(make(networks, 1, only="attn ff")))
    odd = {"lora_unet_nothing.lora_down.weight": torch.ones(1, 1), "lora_unet_nothing.lora_up.weight": torch.ones(1, 1)}
    write(own / "odd.safetensors", peft(make(networks, 2, only="attn")) | odd)
    write(own / "other.safetensors", peft(make({"unet": unet_networks()["unet"]}, 1, only="proj_in")))
    (own / "broken.safetensors").write_bytes(b"nothing of use")


def asked(name: str, *loras: Lora) -> Assign:
    given = order(name, steps=2, sampler="flow_euler", prompt="a red fox", loras=loras)
    return Assign(lease=given.lease, model=SPRITE, generation=given.generation, tenant="t", priority=1, created_us=0)


def picture(shared: Driven, sent: Assign) -> bytes:
    shared.send(sent)
    said = shared.ended(sent.lease)
    assert isinstance(said, Finished), said
    return MediaStore(shared.media).get_sync(said.artifacts[0].key)


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


def test_an_adapter_changes_its_own_requests_pictures(shared: Driven) -> None:
    plain = pixels(picture(shared, asked("plain")))
    worn = asked("worn", Lora(path="laterna/good", scale=0.8))
    changed = pixels(picture(shared, worn))
    assert changed != plain
    weaker = pixels(picture(shared, asked("weaker", Lora(path="laterna/good", scale=0.4))))
    assert weaker not in (plain, changed)
    assert pixels(picture(shared, asked("again"))) == plain
    told = shared.about(worn.lease)
    [stages] = [[span.stage for span in said.timeline] for said in told if isinstance(said, Finished)]
    assert stages == ["fetch", "encode", "denoise", "decode", "store"]
    assert any(isinstance(said, Progress) and said.stage == "fetch" for said in told)
    [note] = [said.message for said in told if isinstance(said, Note) and "sha256" in said.message]
    assert "loras[0]" in note
    assert "scale 0.8" in note


def test_an_uploaded_file(shared: Driven) -> None:
    key = new_key()
    file = Path(shared.costs.parent) / "loras" / "good.safetensors"
    MediaStore(shared.media).put_sync(key, file.read_bytes())
    by_file = picture(shared, asked("by-file", Lora(path="http://localhost/x", file=key)))
    assert pixels(by_file) == pixels(picture(shared, asked("by-name", Lora(path="laterna/good"))))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("laterna/none", "missing_adapter"),
        ("laterna/broken", "unreadable_adapter"),
        ("laterna/other", "adapter_mismatch"),
        ("http://10.0.0.1/a", "address_refused"),
    ],
)
def test_a_bad_adapter_fails_its_own_request_alone(shared: Driven, path: str, code: str) -> None:
    bad = asked(f"bad-{code}", Lora(path="laterna/good"), Lora(path=path))
    good = asked(f"good-{code}", Lora(path="laterna/good"))
    shared.send(good)
    shared.send(bad)
    said = shared.ended(bad.lease)
    assert isinstance(said, Failed)
    assert said.code == code
    assert "loras[1].path" in said.message
    finished = [m for m in shared.about(good.lease) if isinstance(m, Finished | Failed)] or [shared.ended(good.lease)]
    assert isinstance(finished[0], Finished)


def test_what_matches_no_layer_is_told(shared: Driven) -> None:
    sent = asked("odd", Lora(path="laterna/odd"))
    picture(shared, sent)
    [note] = [said for said in shared.about(sent.lease) if isinstance(said, Note) and said.level == "WARN"]
    assert "lora_unet_nothing" in note.message


@pytest.mark.anyio
async def test_a_slow_source_holds_up_nobody_and_can_be_cancelled(shared: Driven) -> None:
    async with site() as web:
        web.pages["/slow"] = stream(b"x" * 100, times=10_000, pause_s=0.05)
        web.pages["/html"] = page(b"<html>no adapter</html>")

        def drive() -> None:
            slow = asked("slow", Lora(path=web.url("/slow")))
            shared.send(slow)
            shared.until(Progress, slow.lease, lambda said: said.stage == "fetch")
            assert pixels(picture(shared, asked("beside")))
            assert not [m for m in shared.about(slow.lease) if isinstance(m, Finished | Failed)]
            begun = time.monotonic()
            shared.send(Cancel(lease=slow.lease))
            said = shared.ended(slow.lease)
            assert isinstance(said, Failed)
            assert said.code == "client_cancelled"
            assert time.monotonic() - begun < 60
            html = asked("html", Lora(path=web.url("/html")))
            shared.send(html)
            refused = shared.ended(html.lease)
            assert isinstance(refused, Failed)
            assert refused.code == "unreadable_adapter"

        await asyncio.to_thread(drive)
