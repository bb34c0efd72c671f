"""The twelve background colours, the colour word that is true of a picture, and repainting a picture in another colour.

Knows pixels only; `captions` puts the words into sentences.
"""

import colorsys
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 32),
    "yellow": (250, 210, 50),
    "green": (60, 160, 70),
    "teal": (0, 140, 140),
    "blue": (50, 110, 230),
    "navy": (20, 30, 90),
    "purple": (130, 60, 170),
    "pink": (245, 150, 190),
    "brown": (120, 75, 45),
    "white": (248, 248, 248),
    "black": (20, 20, 22),
}
NAMES = tuple(BACKGROUNDS)
BOUNDS = [(12, "red"), (40, "orange"), (68, "yellow"), (160, "green"), (192, "teal")]  # upper bound in degrees, word
BOUNDS += [(250, "blue"), (295, "purple"), (342, "pink"), (361, "red")]
PAINTS = {"red": 0, "orange": 26, "yellow": 48, "green": 120, "blue": 215, "purple": 275, "pink": 330}  # degrees
PALE = {"white", "gray"}


def dominant(art: Image.Image) -> str:
    """The colour word true of most covered pixels of an RGBA picture, "" where no word fits 45 % of them."""
    pixels = np.asarray(art.resize((48, 48))).reshape(-1, 4)
    names = [_word(*rgb) for rgb in pixels[pixels[:, 3] > 200, :3] / 255]
    word, count = Counter(names).most_common(1)[0]
    return word if count > 0.45 * len(names) else ""


def _word(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.22:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.85 else "gray"
    degrees = 360 * hue
    if degrees < 42 and value < 0.72 and (degrees > 8 or saturation < 0.7):
        return "brown"
    return next(word for bound, word in BOUNDS if degrees < bound)


def repaint(art: Image.Image, own: str, paint: str) -> Image.Image:
    """An RGBA picture whose `own` dominant colour has become `paint`; its shading and its other colours stay."""
    alpha = art.getchannel("A")
    hue, saturation, value = (np.asarray(plane, np.float32) for plane in art.convert("RGB").convert("HSV").split())
    share = _share(hue * 360 / 255, saturation / 255, own)
    target = PAINTS[paint] * 255 / 360
    lively = np.clip(saturation, 90, 150) if paint == "pink" else np.maximum(saturation, 150)
    bright = value + (255 - value) * 0.35 if paint in {"yellow", "orange", "pink"} else value
    planes = [np.full_like(hue, target), lively, np.minimum(bright, 245)]
    painted = Image.merge("HSV", [Image.fromarray(plane.astype(np.uint8)) for plane in planes]).convert("RGB")
    mixed = Image.composite(painted, art.convert("RGB"), Image.fromarray((share * 255).astype(np.uint8)))
    mixed.putalpha(alpha)
    return mixed


def _share(degrees: Array, saturation: Array, own: str) -> Array:
    """How far each pixel belongs to the colour `own`, 0 to 1."""
    if own in PALE:
        share: Array = np.clip((0.35 - saturation) / 0.1, 0, 1)
        return share
    centre = {"brown": 25.0, "teal": 176.0, **PAINTS}[own]
    distance = np.abs((degrees - centre + 180) % 360 - 180)
    near: Array = np.clip((40 - distance) / 12, 0, 1) * np.clip((saturation - 0.15) / 0.1, 0, 1)
    return near
