import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from laterna.media.sniff import HEAD_BYTES, PLAIN, UNKNOWN, is_plain_media, sniff

KNOWN = {
    b"OggS\0\2": "audio/ogg",
    b"fLaC\0\0\0\x22": "audio/flac",
    b"ID3\4\0\0": "audio/mpeg",
    b"\xff\xfb\x90\x64": "audio/mpeg",
    b"RIFF\x24\0\0\0WAVEfmt ": "audio/wav",
    b"\0\0\0\x20ftypisom\0\0\2\0": "video/mp4",
    b"\0\0\0\x20ftypM4A \0\0\2\0": "audio/mp4",
    b"\0\0\0\x14ftypqt  ": "video/quicktime",
    b"\0\0\0\x18ftypheic": "image/heic",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm": "video/webm",
    b"%PDF-1.7": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"<svg xmlns='http://www.w3.org/2000/svg'>": "image/svg+xml",
    b"\xef\xbb\xbf \n<?xml version='1.0'?><SVG>": "image/svg+xml",
    b"<?xml version='1.0'?><a/>": "application/xml",
    b"  <!DOCTYPE html>": "text/html",
    b"<script>": "text/html",
    b"": UNKNOWN,
    b"hello": UNKNOWN,
    b"\xff\xff\xff\xff": UNKNOWN,
    b"RIFF": UNKNOWN,
}
DANGEROUS = [
    "image/svg+xml",
    "text/html",
    "application/xml",
    "text/xml",
    "application/xhtml+xml",
    "application/pdf",
    "",
]
DANGEROUS += [UNKNOWN, "text/plain", "image/png,text/html", "text/html; image/png", "image/*", "application/javascript"]


@pytest.mark.parametrize("data", KNOWN)
def test_known_beginnings(data: bytes) -> None:
    assert sniff(data) == KNOWN[data]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "avif"])
def test_pictures_of_a_real_encoder(kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(out, kind)
    assert sniff(out.getvalue()) == f"image/{kind}"
    assert is_plain_media(sniff(out.getvalue()))


@pytest.mark.parametrize("content_type", DANGEROUS)
def test_what_could_run_or_is_unknown_is_not_plain(content_type: str) -> None:
    assert not is_plain_media(content_type)


def test_plain_types_are_recognised_however_written() -> None:
    assert is_plain_media("Image/PNG")
    assert is_plain_media("audio/ogg; codecs=opus")


@given(st.binary(max_size=600), st.sampled_from([b"", b"<", b" <svg", b"\xff", b"RIFF", b"\0\0\0\1ftyp"]))
def test_markup_is_never_plain_and_the_head_is_enough(data: bytes, prefix: bytes) -> None:
    whole = prefix + data
    assert sniff(whole) == sniff(whole[:HEAD_BYTES])
    if whole.lstrip().startswith(b"<"):
        assert sniff(whole) not in PLAIN
