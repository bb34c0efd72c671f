"""A picture drawn in the terminal: two pixels a character, the upper as foreground, the lower as background."""

from __future__ import annotations

import base64
import io

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

WIDTH = 40  # characters, and so pixels


def from_data_uri(uri: str) -> Text:
    return draw(base64.b64decode(uri.partition(",")[2]))


def draw(data: bytes) -> Text:
    """Encoded picture to coloured half blocks, `WIDTH` wide."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    height = max(2, round(picture.height / picture.width * WIDTH / 2) * 2)
    pixels = picture.resize((WIDTH, height), Image.Resampling.LANCZOS).load()
    assert pixels is not None
    text = Text()
    for y in range(0, height, 2):
        for x in range(WIDTH):
            text.append("▀", Style(color=_color(pixels[x, y]), bgcolor=_color(pixels[x, y + 1])))
        text.append("\n")
    return text


def _color(pixel: object) -> Color:
    assert isinstance(pixel, tuple)
    return Color.from_rgb(*pixel[:3])
