"""Files come out as they went in, with a manifest that others can read."""

from __future__ import annotations

import io
import json

import c2pa
import numpy as np
import pytest
from PIL import Image

from laterna.errors import MediaError
from laterna.media.provenance import CARRIERS, UNKNOWN
from laterna.media.sniff import sniff
from tests.media.carriers import plain, us

PICTURES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_every_carrier_is_tried() -> None:
    assert set(plain()) == CARRIERS


@pytest.mark.parametrize("content_type", sorted(CARRIERS))
def test_a_signed_file_is_still_of_its_type(content_type: str) -> None:
    assert sniff(plain()[content_type]) == content_type
    assert sniff(us().signed(content_type)) == content_type


@pytest.mark.parametrize("content_type", PICTURES)
def test_no_pixel_changes(content_type: str) -> None:
    assert np.array_equal(pixels(us().signed(content_type)), pixels(plain()[content_type]))


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "image/webp"])
def test_plain_metadata_stays(content_type: str) -> None:
    for data in (plain()[content_type], us().signed(content_type)):
        packet = data[data.index(b"<x:xmpmeta") : data.index(b"</x:xmpmeta>")]
        assert b"trainedAlgorithmicMedia" in packet


@pytest.mark.parametrize("content_type", ["video/webm", "audio/flac", "image/svg+xml", "text/html", "", "png"])
def test_types_that_carry_none_are_refused(content_type: str) -> None:
    with pytest.raises(MediaError, match=r"no manifest can be put into .*image/png"):
        us().manifests.signed(b"x", content_type, UNKNOWN)


@pytest.mark.parametrize("data", [b"", b"x", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_not_of_the_type_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="image/png"):
        us().manifests.signed(data, "image/png", UNKNOWN)


def test_one_signer_signs_many() -> None:
    data = plain()["image/jpeg"]
    assert len({us().manifests.signed(data, "image/jpeg", UNKNOWN) for _ in range(20)}) == 20, "each is its own"


@pytest.mark.parametrize("content_type", ["image/png", "video/mp4", "audio/wav"])
def test_what_it_claims_is_claimed_by_its_maker(content_type: str) -> None:
    """The action and the digest of the bytes are the signer's own word, not what was gathered from elsewhere."""
    report = json.loads(c2pa.Reader(content_type, io.BytesIO(us().signed(content_type))).detailed_json())
    [manifest] = report["manifests"].values()
    made = [item["url"].rpartition("/")[2] for item in manifest["claim"]["created_assertions"]]
    assert "c2pa.actions.v2" in made
    assert any(name.startswith("c2pa.hash.") for name in made)
    assert not manifest["claim"].get("gathered_assertions")
