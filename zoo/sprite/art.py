"""Each subject's picture in each of three art styles, as cropped RGBA.

`3d` and `flat` are Microsoft's Fluent emoji, `cartoon` is Google's Noto. Vectors are rendered here. `views` lays the
pictures out.
"""

import io
import re
from pathlib import Path

import resvg_py
from PIL import Image

from zoo.sprite import packages
from zoo.sprite.subjects import Subject

STYLES = ("3d", "flat", "cartoon")
SIDE = 256  # px, of a whole picture before it is cropped


def draw(folder: Path, subject: Subject, style: str) -> Image.Image:
    """The subject without its empty rim, at most 256 px a side; ValueError where the style does not have it."""
    whole = {"3d": _fluent_3d, "flat": _fluent_flat, "cartoon": _noto}[style](folder, subject)
    return whole.crop(whole.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())


def _codes(subject: Subject) -> tuple[str, ...]:
    """Code points as the packages may write them: the mark "show this as a picture" is often left out or added."""
    return subject.code, f"{subject.code}-fe0f", subject.code.replace("-fe0f", "")


def _fluent_3d(folder: Path, subject: Subject) -> Image.Image:
    names = packages.names(folder / packages.FLUENT_3D)
    for code in _codes(subject):
        if (name := f"package/assets/{code}.webp") in names:
            return Image.open(io.BytesIO(packages.member(folder / packages.FLUENT_3D, name))).convert("RGBA")
    raise ValueError(f"subjects.txt: {subject.label!r} has no 3d picture; delete the line")


def _fluent_flat(folder: Path, subject: Subject) -> Image.Image:
    name = f"package/icons/flat/{re.sub(r'[^a-z0-9]+', '-', subject.label.lower())}.svg"
    if name not in packages.names(folder / packages.FLUENT_FLAT):
        raise ValueError(f"subjects.txt: {subject.label!r} has no flat picture; delete the line")
    return _render(packages.member(folder / packages.FLUENT_FLAT, name).decode())


def _noto(folder: Path, subject: Subject) -> Image.Image:
    chars = packages.document(folder / packages.NOTO, "package/chars.json")
    icons = packages.document(folder / packages.NOTO, "package/icons.json")
    name = next((chars[code] for code in _codes(subject) if code in chars), "")
    if name not in icons["icons"]:
        raise ValueError(f"subjects.txt: {subject.label!r} has no cartoon picture; delete the line")
    box = f"0 0 {icons['width']} {icons['height']}"
    body = icons["icons"][name]["body"]
    return _render(
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
        f"{body}</svg>"
    )


def _render(svg: str) -> Image.Image:
    return Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE))).convert("RGBA")
