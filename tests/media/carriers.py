"""The smallest files of every type that a manifest goes into."""

from __future__ import annotations

import io
import tempfile
import wave
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from laterna.media.images import CONTENT_TYPES, encode_image
from laterna.media.manifests import Manifests
from laterna.media.provenance import Provenance
from laterna.media.signatory import Signatory, authority

KNOWN = Provenance(model="test/model", created_us=1_700_000_000_123_456, seed=7)  # 2023-11-14T22:13:20Z
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)


class Maker:
    """Somebody with a key."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.manifests = Manifests(Signatory.open(Path(folder)))
            self.authority = authority(Path(folder))

    def signed(self, content_type: str) -> bytes:
        return self.manifests.signed(plain()[content_type], content_type, KNOWN)


@cache
def us() -> Maker:
    return Maker()


@cache
def others() -> Maker:
    return Maker()


@cache
def plain() -> dict[str, bytes]:
    """By content type, without a manifest."""
    made = {CONTENT_TYPES[kind]: encode_image(PIXELS, kind, KNOWN)[0] for kind in CONTENT_TYPES}
    made |= {f"image/{kind}": _saved(kind) for kind in ("gif", "avif")}
    made |= {kind: _boxes(brand) for kind, brand in (("video/mp4", b"isom"), ("audio/mp4", b"M4A "))}
    made["video/quicktime"] = _boxes(b"qt  ")
    made["audio/wav"] = _wave()
    made["audio/mpeg"] = 4 * (b"\xff\xfb\x90\0" + bytes(413))
    return made


def _saved(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind)
    return out.getvalue()


def _boxes(brand: bytes) -> bytes:
    def box(name: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4, "big") + name + body

    head = box(b"ftyp", brand + b"\0\0\2\0" + brand + b"iso2mp41")
    return head + box(b"moov", box(b"mvhd", bytes(100))) + box(b"mdat", b"x" * 100)


def _wave() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(200)))
    return out.getvalue()
