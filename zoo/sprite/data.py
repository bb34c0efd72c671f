"""Pictures and captions: emoji art on flat backgrounds, drawn at random from a seeded generator.

Fetches two npm packages (refused unless their digests match), renders every subject of `subjects.txt` in a few
positions at 64 px, and pairs a composite with a sentence that is true of it. Knows nothing of networks; `latents` and
`train` draw from it.
"""

import base64
import colorsys
import hashlib
import io
import json
import subprocess
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[Any]
SIZE = 64  # px, side of a picture
POSITIONS = 8  # renderings of each subject that differ in place, size and side

PACKAGES = {
    "@lobehub/fluent-emoji-3d@1.1.0": (
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
    "emojibase-data@17.0.0": (
        "emojibase-data-17.0.0.tgz",
        "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    ),
}

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
COLOUR_SYNONYMS = {
    "teal": ["turquoise", "cyan"],
    "navy": ["dark blue", "navy blue"],
    "purple": ["violet"],
    "blue": ["bright blue"],
}
HUES = [(12, "red"), (40, "orange"), (68, "yellow"), (160, "green"), (192, "teal")]  # upper bound in degrees, word
HUES += [(250, "blue"), (295, "purple"), (342, "pink"), (361, "red")]
ADJECTIVES = [*BACKGROUNDS, "gray"]
SPOKEN_COLOURS = {"fox": "red"}  # what people say of a subject whatever its pixels are
FILLERS = ["cute", "small", "big", "little", "shiny", "happy", "single", "beautiful", "nice", "colorful", "new"]
FILLERS += ["simple"]
FRAMES = ["{a} on a {c} background"] * 6 + [
    "{n}, {c} background",
    "{n}, {c} background",
    "{a} on {c}",
    "{a} against a {c} background",
    "{a} in front of a {c} background",
    "{a} with a {c} background",
    "a {c} background with {a}",
    "the {n} on the {c} background",
    "a picture of {a} on a {c} background",
    "an icon of {a} on a {c} background",
    "an emoji of {a}, {c} background",
    "a 3d render of {a} on a {c} background",
    "a photo of {a}, {c} background",
    "a drawing of {a}, on a plain {c} background",
    "{a}",
]
PLURALS = {"grapes", "cherries", "pancakes", "french fries", "fries", "glasses", "sunglasses", "socks", "headphones"}
PLURALS |= {"books", "scissors", "swords", "paw prints", "popcorn", "sushi", "corn", "bread", "honey", "coffee", "wine"}
PLURALS |= {"beer", "milk", "broccoli", "lightning"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One thing that can be drawn."""

    label: str  # emojibase's English label
    file: str  # name of the picture in the art package, without folder
    names: tuple[str, ...]  # what captions call it, commonest first
    flips: bool  # whether its mirror image is as good


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Every subject in every position, ready to be laid over a colour."""

    subjects: tuple[Subject, ...]
    colours: tuple[str, ...]  # each subject's own dominant colour, "" where it has none
    ink: torch.Tensor  # uint8 (subjects, positions, 3, 64, 64): colour times coverage
    cover: torch.Tensor  # uint8 (subjects, positions, 1, 64, 64): coverage


def fetch(folder: Path) -> None:
    """Download both packages with the registry's own client into `folder`; ValueError where a digest differs."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, (file, digest) in PACKAGES.items():
        if not (folder / file).exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
        found = base64.b64encode(hashlib.sha512((folder / file).read_bytes()).digest()).decode()
        if found != digest:
            raise ValueError(f"{file}: sha512 {found} is not the recipe's {digest}; delete the file and fetch it again")


def read_subjects(folder: Path) -> tuple[Subject, ...]:
    """Subjects of `subjects.txt`, joined to the art by code points; ValueError for a label without a picture."""
    with tarfile.open(folder / PACKAGES["emojibase-data@17.0.0"][0]) as tar:
        entries = json.loads(_member(tar, "package/en/data.json"))
    with tarfile.open(folder / PACKAGES["@lobehub/fluent-emoji-3d@1.1.0"][0]) as tar:
        files = {Path(name).name for name in tar.getnames()}
    codes = {entry["label"]: entry["hexcode"].lower() for entry in entries}
    return tuple(_subject(line, codes, files) for line in subject_lines())


def subject_lines() -> list[str]:
    """The lines of `subjects.txt` that name a subject."""
    text = (Path(__file__).parent / "subjects.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _subject(line: str, codes: dict[str, str], files: set[str]) -> Subject:
    label, names = (part.strip() for part in line.split("="))
    code = codes.get(label, "")
    for file in (f"{code}.webp", f"{code.replace('-fe0f', '')}.webp", f"{code}-fe0f.webp"):
        if file in files:
            flips = label not in {"stop sign", "1st place medal", "pool 8 ball", "calendar"}
            return Subject(label=label, file=file, names=tuple(n.strip() for n in names.split("|")), flips=flips)
    raise ValueError(f"subjects.txt: {label!r} has no picture; correct the label or delete the line")


def build_bank(folder: Path, seed: int = 0) -> Bank:
    """Render all subjects (about 20 s); the same seed gives the same bank."""
    subjects = read_subjects(folder)
    rng = np.random.default_rng(seed)
    inks, covers, colours = [], [], []
    with tarfile.open(folder / PACKAGES["@lobehub/fluent-emoji-3d@1.1.0"][0]) as tar:
        for subject in subjects:
            art = Image.open(io.BytesIO(_member(tar, f"package/assets/{subject.file}"))).convert("RGBA")
            art = art.crop(art.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())
            views = np.stack([_place(art, subject, position, rng) for position in range(POSITIONS)])
            inks.append(views[:, :3])
            covers.append(views[:, 3:])
            colours.append(_dominant(views[0]))
    return Bank(
        subjects=subjects,
        colours=tuple(colours),
        ink=torch.from_numpy(np.stack(inks)),
        cover=torch.from_numpy(np.stack(covers)),
    )


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name}: not a file in the package")
    return file.read()


def _place(art: Image.Image, subject: Subject, position: int, rng: np.random.Generator) -> Array:
    """One view, uint8 (4, 64, 64) with premultiplied colour; position 0 is centred, 54 px along its longer side."""
    longest, dx, dy = 54.0, 0.0, 0.0
    if position:
        longest, dx, dy = rng.uniform(50, 57), rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5)
        if subject.flips and position % 2:
            art = ImageOps.mirror(art)
    pixels = np.asarray(art, np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    scale = max(art.size) / longest
    left, top = art.width / 2 - (SIZE / 2 + dx) * scale, art.height / 2 - (SIZE / 2 + dy) * scale
    pad = max(art.size)
    padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)))
    box = (left + pad, top + pad, left + pad + SIZE * scale, top + pad + SIZE * scale)
    planes = [Image.fromarray(padded[..., i]).resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box) for i in range(4)]
    view: Array = (np.clip(np.stack([np.asarray(plane) for plane in planes]), 0, 1) * 255).round().astype(np.uint8)
    return view


def _dominant(view: Array) -> str:
    """The colour word true of most covered pixels, "" where no word fits 45 % of them."""
    covered = view[3] > 200
    names = [_colour_word(*rgb) for rgb in view[:3, covered].T.astype(float) / 255]
    word, count = Counter(names).most_common(1)[0]
    return word if count > 0.45 * len(names) else ""


def _colour_word(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.22:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.85 else "gray"
    degrees = 360 * hue
    if degrees < 42 and value < 0.72 and (degrees > 8 or saturation < 0.7):
        return "brown"
    return next(word for bound, word in HUES if degrees < bound)


def compose(bank: Bank, subject: Array, position: Array, colour: Array) -> torch.Tensor:
    """Pictures in [-1, 1], float32 (n, 3, 64, 64), of subject and position indices over background colour indices."""
    rows, views = torch.from_numpy(subject), torch.from_numpy(position)
    table = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.float32) / 255
    ground = table[torch.from_numpy(colour)][:, :, None, None]
    cover = bank.cover[rows, views].float() / 255
    return ((bank.ink[rows, views].float() / 255 + (1 - cover) * ground) * 2 - 1).clamp(-1, 1)


def draw(
    bank: Bank, count: int, rng: np.random.Generator, positions: int = POSITIONS
) -> tuple[torch.Tensor, list[str]]:
    """`count` random pictures as `compose` gives them, in the first `positions`, and a true caption for each."""
    subject = rng.integers(len(bank.subjects), size=count)
    position = rng.integers(positions, size=count)
    colour = rng.integers(len(BACKGROUNDS), size=count)
    captions = [caption(bank, int(s), int(c), rng) for s, c in zip(subject, colour, strict=True)]
    return compose(bank, subject, position, colour), captions


def caption(bank: Bank, subject: int, colour: int, rng: np.random.Generator) -> str:
    """A sentence about a subject on a background, lower case."""
    names = bank.subjects[subject].names
    name = names[0] if rng.random() < 0.7 else str(rng.choice(names))
    ground = list(BACKGROUNDS)[colour]
    if ground in COLOUR_SYNONYMS and rng.random() < 0.2:
        ground = str(rng.choice(COLOUR_SYNONYMS[ground]))
    described = name
    own = _own_colour(bank, subject, rng)
    if own and rng.random() < 0.35 and own not in name.split():
        described = f"{own} {described}"
    if rng.random() < 0.15:
        described = f"{rng.choice(FILLERS)} {described}"
    frame = str(rng.choice(FRAMES))
    sentence = frame.format(a=with_article(described, name), n=described, c=ground)
    return sentence.replace(" a orange", " an orange")


def _own_colour(bank: Bank, subject: int, rng: np.random.Generator) -> str:
    spoken = SPOKEN_COLOURS.get(bank.subjects[subject].names[0], "")
    return spoken if spoken and rng.random() < 0.5 else bank.colours[subject]


def with_article(described: str, name: str) -> str:
    """`described`, which ends in the subject's `name`, with the article it needs."""
    if name in PLURALS:
        return described
    return f"an {described}" if described[0] in "aeiou" else f"a {described}"


def vocabulary() -> list[str]:
    """Every word a caption can hold, sorted, a comma included."""
    texts = [line.split("=")[1].replace("|", " ") for line in subject_lines()]
    texts += [*ADJECTIVES, *FILLERS, *(word for words in COLOUR_SYNONYMS.values() for word in words), "an", ","]
    texts += [frame.format(a="a", n="", c="").replace(",", " ") for frame in FRAMES]
    return sorted({word for text in texts for word in text.lower().split()})
