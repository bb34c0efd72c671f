"""Pictures from untrusted bytes, and pictures to bytes that say how they were made.

Pure: bytes and arrays in and out. Of all that Pillow can read, PNG, JPEG, WebP and the first frame of a GIF are read.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from laterna.errors import ImageTooLarge, MediaError
from laterna.media.provenance import SOFTWARE, UNKNOWN, Provenance

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [height, width, 3], RGB

READABLE = ("PNG", "JPEG", "WEBP", "GIF")
MAX_PIXELS = 50_000_000
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
QUALITY = 95  # of JPEG and WebP, 1 to 100

# What Pillow raises on damaged files, besides its own errors.
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, struct.error, zlib.error)
_ORIENTATION, _SOFTWARE, _DATE_TIME = 0x0112, 0x0131, 0x0132
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}


def decode_image(data: bytes, *, field: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture, upright, RGB [height, width, 3]; what is transparent lies on white.

    Args:
        field: the input field that the bytes came from, for the message.

    Raises:
        MediaError: the bytes are no readable PNG, JPEG, WebP or GIF, or end too early.
        ImageTooLarge: more than `max_pixels`; found out before anything is unpacked.
    """
    try:
        with Image.open(io.BytesIO(data), formats=READABLE) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(field, max_pixels)
            image.load()
            return _rgb(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(field, max_pixels) from error
    except _DAMAGE as error:
        raise MediaError(
            f"{field}: the bytes are no readable PNG, JPEG, WebP or GIF picture; send one of these"
        ) from error


def encode_image(pixels: Picture, image_format: str, provenance: Provenance = UNKNOWN) -> tuple[bytes, str]:
    """Encode RGB [height, width, 3] as "png", "jpeg" or "webp", marked as generated; bytes and content type."""
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    marks = _png_marks(provenance) if image_format == "png" else _exif_marks(provenance)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format, **marks)
    return out.getvalue(), CONTENT_TYPES[image_format]


def _png_marks(provenance: Provenance) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", SOFTWARE)
    chunks.add_itxt("XML:com.adobe.xmp", provenance.xmp())
    return {"pnginfo": chunks}


def _exif_marks(provenance: Provenance) -> dict[str, Any]:
    exif = Image.Exif()
    exif[_SOFTWARE] = SOFTWARE
    if provenance.created is not None:
        exif[_DATE_TIME] = provenance.created.strftime("%Y:%m:%d %H:%M:%S")
    return {"quality": QUALITY, "subsampling": 0, "exif": exif.tobytes(), "xmp": provenance.xmp().encode()}


def _upright(image: Image.Image) -> Image.Image:
    for turn in _TURNS.get(image.getexif().get(_ORIENTATION, 1), ()):
        image = image.transpose(turn)
    return image


def _rgb(image: Image.Image) -> Picture:
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits instead of scaling them
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _too_large(field: str, max_pixels: int) -> ImageTooLarge:
    return ImageTooLarge(f"{field}: the picture has more than {max_pixels} pixels; make it smaller")
