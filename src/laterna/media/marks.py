"""What a file says of how it was made, who signed that, and whether it still holds: `laterna verify`.

The file may be anybody's. It is read in a process of its own (`laterna.media.examining`), which may use only so much
memory and time and asks nothing of the network; what comes back is short and printable.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec

from laterna.errors import MediaError
from laterna.media.provenance import CARRIERS
from laterna.media.sniff import HEAD_BYTES, sniff

START_SECONDS = 10  # that reading a small file may take
PACE = 50_000_000  # bytes of a large one that are read in a further second, at least

Finding = Literal[
    "ours",  # signed by this server, and nothing was altered since
    "trusted",  # the same, by somebody whose authority was named
    "unknown",  # the same, by nobody knows whom
    "invalid",  # there is a manifest, and the file or the manifest was altered, or its certificate is not good
    "unmarked",  # there is none: it may never have had one, or was stripped of it
]


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. Texts are what the file says: to be believed as far as its signer is."""

    finding: Finding
    content_type: str  # by its bytes
    source_type: str | None = None  # last word of IPTC's digital source type; unsigned where it is unmarked
    generated: bool = False  # whether the source type says that a trained model made it, or part of it
    model: str | None = None  # what made it
    created: str | None = None  # when, ISO 8601
    software: str | None = None  # what wrote the manifest
    signer: str | None = None  # name in the signer's certificate
    serial: str | None = None  # of that certificate
    problems: tuple[str, ...] = ()  # what does not hold, or that a manifest is elsewhere, which is not fetched


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the process that reads is asked."""

    path: str
    content_type: str
    ours: str | None  # certificates, PEM; absent where this server never signed
    trusted: str | None  # certificates, PEM
    seconds: int  # of processor time


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    marks: Marks | None = None  # absent where it could not be read
    error: str = ""  # why not


def marks_of(path: Path, ours: str | None, trusted: str | None = None) -> Marks:
    """Read the file's marks.

    Args:
        ours: this server's authority, PEM.
        trusted: further authorities, PEM.

    Raises:
        OSError: there is no such file, or it may not be read.
        MediaError: it is no picture, film or sound that could carry a manifest, or is damaged, or asks too much.
    """
    if not path.is_file():
        path.stat()  # says what is wrong where there is nothing
        raise MediaError(f"{path} is no file")
    with path.open("rb") as file:
        content_type = sniff(file.read(HEAD_BYTES))
    if content_type not in CARRIERS:
        raise MediaError(f"{path} is {content_type}, which is not read; {', '.join(sorted(CARRIERS))} are")
    seconds = START_SECONDS + path.stat().st_size // PACE
    question = Question(
        path=str(path.absolute()), content_type=content_type, ours=ours, trusted=trusted, seconds=seconds
    )
    answer = _asked(question, path)
    if answer.marks is None:
        raise MediaError(f"{path} cannot be read as {content_type}: {answer.error}")
    return answer.marks


def _asked(question: Question, path: Path) -> Answer:
    command = [sys.executable, "-m", "laterna.media.examining"]
    wait_s = 4 * question.seconds  # the machine may have something else to do
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(question), capture_output=True, check=False, timeout=wait_s
        )
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{path} was not read within {wait_s} seconds") from error
    if done.returncode != 0:
        raise MediaError(
            f"{path} cannot be read: it takes more memory or time than a sound file does (status {done.returncode})"
        )
    return msgspec.json.decode(done.stdout, type=Answer)
