import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laterna.errors import ImageTooLarge, MediaError
from laterna.media.images import CONTENT_TYPES, MAX_PIXELS, Picture, decode_image, encode_image
from laterna.media.provenance import GENERATED, SOFTWARE, Provenance
from laterna.media.sniff import sniff

RNG = np.random.default_rng(0)
FORMATS = sorted(CONTENT_TYPES)
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
CREATED_US = 1_700_000_000_123_456  # 2023-11-14T22:13:20.123456Z


def smooth(height: int, width: int) -> Picture:
    """A picture that lossy formats keep well."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decode(data: bytes) -> Picture:
    return decode_image(data, field="image_url")


def xmp_of(data: bytes) -> dict[str, str]:
    """The fields of the XMP packet, found in the raw bytes as a scanner would."""
    start, end = data.index(b"<x:xmpmeta"), data.index(b"</x:xmpmeta>")
    description = ElementTree.fromstring(data[start:end] + b"</x:xmpmeta>")[0][0]
    return dict(description.attrib)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_png_keeps_every_pixel(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode_image(pixels, "png")[0]), pixels)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_comes_back(kind: str) -> None:
    pixels = smooth(60, 90)
    data, content_type = encode_image(pixels, kind, Provenance(model="laterna/sprite", created_us=CREATED_US, seed=7))
    assert sniff(data) == content_type == CONTENT_TYPES[kind]
    assert np.abs(decode(data).astype(int) - pixels).max() <= 8
    assert decode(data).dtype == np.uint8


@pytest.mark.parametrize("kind", FORMATS)
def test_every_picture_says_that_it_was_generated(kind: str) -> None:
    data, _ = encode_image(smooth(8, 8), kind, Provenance(model='a/b<&">é', created_us=CREATED_US, seed=2**40))
    fields = xmp_of(data)
    assert fields[EXT + "DigitalSourceType"] == GENERATED
    assert fields[EXT + "AISystemUsed"] == 'a/b<&">é'
    assert fields["{http://ns.adobe.com/xap/1.0/}CreateDate"] == "2023-11-14T22:13:20+00:00"
    assert fields["{urn:laterna:generation:1}seed"] == str(2**40)
    image = Image.open(io.BytesIO(data))
    software = image.info["Software"] if kind == "png" else image.getexif()[0x0131]
    assert software == SOFTWARE


@pytest.mark.parametrize("kind", FORMATS)
def test_previews_say_it_too(kind: str) -> None:
    fields = xmp_of(encode_image(smooth(8, 8), kind)[0])
    assert fields[EXT + "DigitalSourceType"] == GENERATED
    assert not any("seed" in name or "CreateDate" in name for name in fields)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_orientation_is_applied(orientation: int, kind: str) -> None:
    """Whatever way the camera was held, the red corner is top left and the picture is 48 wide."""
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16, 0] = 255
    undo = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]
    image = Image.fromarray(upright)
    for turn in undo:
        image = image.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(saved(image, kind, exif=exif.tobytes(), quality=95))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - upright).mean() < 6


def test_other_modes_become_rgb() -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for image in (grey, grey.convert("1"), grey.convert("P"), grey.convert("RGB"), grey.convert("LA")):
        assert decode(saved(image, "png")).shape == (16, 16, 3)
    assert np.array_equal(decode(saved(grey, "png"))[:, :, 1], np.asarray(grey))
    assert (
        np.abs(decode(saved(grey.convert("CMYK"), "jpeg", quality=95))[:, :, 0].astype(int) - np.asarray(grey)).max()
        < 12
    )
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert np.array_equal(decode(saved(Image.fromarray(deep), "png"))[:, :, 0], np.asarray(grey))


def test_what_is_transparent_lies_on_white() -> None:
    image = Image.fromarray(np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8))
    assert decode(saved(image, "png")).tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]


def test_the_first_frame_of_a_film_counts() -> None:
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    for kind in ("gif", "webp"):
        pixels = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert np.abs(pixels.astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("kind", ["bmp", "tiff", "ppm", "ico", "tga", "pdf", "eps"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(MediaError, match=r"image_url: .* PNG, JPEG, WebP or GIF"):
        decode(saved(Image.new("RGB", (16, 16)), kind))


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x04\0\0\0WEBP"]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="image_url"):
        decode(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_truncated_pictures_are_refused(kind: str) -> None:
    data = saved(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    for keep in (0.1, 0.5, 0.9):
        with pytest.raises(MediaError):
            decode(data[: int(len(data) * keep)])


def bomb(width: int, height: int) -> bytes:
    """A tiny PNG that claims to be that large."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"), [(MAX_PIXELS + 1, 1), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]
)
def test_bombs_are_refused_unopened(width: int, height: int) -> None:
    with pytest.raises(ImageTooLarge, match=f"image_url: .*{MAX_PIXELS}"):
        decode(bomb(width, height))


def test_a_bomb_in_webp_is_refused() -> None:
    header = struct.pack("<I", 0x10000000 | 16382 << 14 | 16382)  # VP8L, 16383 x 16383
    body = b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + header + bytes(5)
    with pytest.raises(MediaError):
        decode(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_the_limit_is_the_callers() -> None:
    data = encode_image(smooth(10, 10), "png")[0]
    assert decode_image(data, field="x", max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageTooLarge, match=r"x: .* 99 pixels"):
        decode_image(data, field="x", max_pixels=99)


VICTIMS = [saved(Image.fromarray(smooth(24, 24)), kind) for kind in ("png", "jpeg", "webp", "gif")]
KNOWN = Provenance(model="m", created_us=CREATED_US, seed=1)
VICTIMS += [encode_image(smooth(24, 24), kind, KNOWN)[0] for kind in FORMATS]


@given(
    st.sampled_from(VICTIMS), st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=6)), max_size=8)
)
@settings(max_examples=400)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks about damaged EXIF blocks
def test_damage_is_a_typed_error_or_a_picture(data: bytes, wounds: list[tuple[float, bytes]]) -> None:
    damaged = bytearray(data)
    for place, content in wounds:
        at = int(place * len(damaged))
        damaged[at : at + len(content)] = content
    try:
        pixels = decode_image(bytes(damaged), field="image_url", max_pixels=1_000_000)
    except MediaError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
