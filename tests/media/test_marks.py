"""What was signed is known again, what was altered never passes, and no file harms who reads it."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import c2pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laterna.errors import MediaError
from laterna.media.examining import LONGEST, examine
from laterna.media.manifests import _definition
from laterna.media.marks import Marks, Question, marks_of
from laterna.media.provenance import CARRIERS, Provenance
from laterna.media.signatory import Signatory
from tests.media.carriers import KNOWN, others, plain, us

GOOD = ("ours", "trusted", "unknown")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "file"


def examined(path: Path, data: bytes, content_type: str, trusted: str | None = None) -> Marks:
    """In this process: what the tests send is small."""
    path.write_bytes(data)
    question = Question(path=str(path), content_type=content_type, ours=us().authority, trusted=trusted, seconds=1)
    return examine(question)


@pytest.mark.parametrize("content_type", sorted(CARRIERS))
def test_what_we_signed_is_ours_and_says_what_it_is(place: Path, content_type: str) -> None:
    marks = examined(place, us().signed(content_type), content_type)
    assert marks.finding == "ours"
    assert (marks.generated, marks.source_type) == (True, "trainedAlgorithmicMedia")
    assert (marks.model, marks.created) == ("test/model", "2023-11-14T22:13:20Z")
    assert (marks.signer, marks.problems) == ("Laterna outputs", ())
    assert (marks.software or "").startswith("Laterna ")


@pytest.mark.parametrize("content_type", sorted(CARRIERS))
def test_what_others_signed_is_theirs(place: Path, content_type: str) -> None:
    signed = others().signed(content_type)
    assert examined(place, signed, content_type).finding == "unknown"
    assert examined(place, signed, content_type, others().authority).finding == "trusted"
    assert examined(place, us().signed(content_type), content_type, others().authority).finding == "ours"


@pytest.mark.parametrize("content_type", sorted(CARRIERS))
def test_what_was_never_signed_is_unmarked(place: Path, content_type: str) -> None:
    marks = examined(place, plain()[content_type], content_type)
    assert marks.finding == "unmarked"
    assert marks.generated is (content_type in ("image/png", "image/jpeg", "image/webp")), "by plain metadata alone"


def manifest_at(signed: bytes, content_type: str) -> range:
    """Where the manifest is: what its own digest leaves out; of boxes also the first, which names the type."""
    if signed[4:8] == b"ftyp":
        at = signed.index(b"uuid\xd8\xfe\xc3\xd6") - 4
        return range(at + int.from_bytes(signed[at : at + 4], "big"))
    report = json.loads(c2pa.Reader(content_type, io.BytesIO(signed)).detailed_json())
    found = next(iter(report["manifests"].values()))["assertion_store"]["c2pa.hash.data"]["exclusions"]
    return range(found[0]["start"], found[-1]["start"] + found[-1]["length"])


@pytest.mark.parametrize("content_type", sorted(CARRIERS))
@settings(max_examples=40)
@given(st.data())
def test_a_changed_byte_never_passes(
    tmp_path_factory: pytest.TempPathFactory, content_type: str, data: st.DataObject
) -> None:
    """Except where it means nothing: the manifest has room to spare, and some types a checksum over it."""
    signed, path = us().signed(content_type), tmp_path_factory.getbasetemp() / "changed"
    known, manifest = examined(path, signed, content_type), manifest_at(signed, content_type)
    changed, at = bytearray(signed), data.draw(st.integers(0, len(signed) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        marks = examined(path, bytes(changed), content_type)
    except c2pa.C2paError:
        return
    assert marks.finding not in GOOD or (at in manifest and marks == known)


def test_another_files_manifest_does_not_fit(place: Path) -> None:
    """The whole chunk of one picture in another."""
    signed, other = us().signed("image/png"), plain()["image/png"]
    at = signed.index(b"caBX") - 4
    size = struct.unpack(">I", signed[at : at + 4])[0] + 12
    moved = other.replace(b"test/model", b"test/MODEL")
    assert moved != other
    marks = examined(place, moved[:33] + signed[at : at + size] + moved[33:], "image/png")
    assert marks.finding == "invalid"
    assert any("assertion.dataHash.mismatch" in problem for problem in marks.problems)


def test_metadata_is_looked_for_at_both_ends(place: Path) -> None:
    packet = b'<x:xmpmeta><a b="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/>'
    data = plain()["image/jpeg"]
    bare = data.replace(b"digitalsourcetype/", b"digitalsourcetipe/")
    for filled in (bare + bytes(20 << 20) + packet, bare + packet + bytes(20 << 20)):
        marks = examined(place, filled, "image/jpeg")
        assert (marks.finding, marks.source_type, marks.generated) == ("unmarked", "digitalCapture", False)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def nested(depth: int) -> bytes:
    """Superboxes in superboxes."""
    body = b""
    for _ in range(depth):
        head = struct.pack(">I", 8 + 25 + len(body)) + b"jumb"
        body = head + struct.pack(">I", 25) + b"jumd" + b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71" + b"\0" + body
    return body


def hostile() -> dict[str, bytes]:
    png, mp4, mp3 = plain()["image/png"], plain()["video/mp4"], plain()["audio/mpeg"]
    jumb = b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    signed = us().signed("image/png")
    return {
        "nothing but a signature": png[:8],
        "a chunk of 4 GB": png[:33] + b"\xff\xff\xff\xffcaBX",
        "an empty manifest": png[:33] + chunk(b"caBX", b"") + png[33:],
        "a manifest of noise": png[:33] + chunk(b"caBX", os.urandom(4000)) + png[33:],
        "an empty store": png[:33] + chunk(b"caBX", jumb) + png[33:],
        "deep boxes": png[:33] + chunk(b"caBX", nested(20_000)) + png[33:],
        "two manifests": signed[:33] + signed[33 : signed.index(b"IDAT") - 4] + signed[33:],
        "cut": signed[: len(signed) // 2],
        "a box of all bytes": mp4[:24] + b"\0\0\0\1moov" + b"\xff" * 8,
        "a box of none": mp4[:24] + 5000 * b"\0\0\0\0",
        "deep atoms": mp4[:24] + b"".join(struct.pack(">I", 8 * n) + b"moov" for n in range(50_000, 0, -1)),
        "a tag of 256 MB": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + mp3,
        "a jpeg of segments": b"\xff\xd8" + 20_000 * b"\xff\xeb\0\x0aJP\0\1\0\0\0\1",
        "a long chunk of a RIFF": b"RIFF\xff\xff\xff\xffWEBPC2PA\xff\xff\xff\xff" + bytes(100),
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_hostile_files_end_in_a_verdict_or_an_error(place: Path, name: str) -> None:
    place.write_bytes(hostile()[name])
    with suppress(MediaError):
        assert marks_of(place, us().authority).finding in ("unmarked", "invalid")


def test_a_manifest_of_gigabytes_takes_bounded_memory(place: Path) -> None:
    """Of holes, so that it takes no disk: more than the process may have."""
    size = 2**31 - 1
    with place.open("wb") as file:
        file.write(plain()["image/png"][:33] + struct.pack(">I", size) + b"caBX")
        file.seek(size + 4, os.SEEK_CUR)
        file.write(chunk(b"IEND", b""))
    with pytest.raises(MediaError, match=str(place)):
        marks_of(place, us().authority)


def test_a_file_of_a_billion_parts_takes_bounded_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laterna.media.marks.START_SECONDS", 1)
    monkeypatch.setattr("laterna.media.marks.PACE", 10**12)
    with place.open("wb") as file:
        file.write(plain()["image/png"][:33])
        file.truncate(12 * 10**9)
    with pytest.raises(MediaError, match=f"{place} cannot be read: it takes more"):
        marks_of(place, us().authority)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match="pipe is no file"):
        marks_of(tmp_path / "pipe", None)
    with pytest.raises(MediaError, match="is no file"):
        marks_of(tmp_path, None)
    with pytest.raises(FileNotFoundError):
        marks_of(tmp_path / "none", None)


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"%PDF-1.7", b"\x1a\x45\xdf\xa3webm", b"PK\3\4"])
def test_other_types_are_not_read(place: Path, data: bytes) -> None:
    place.write_bytes(data)
    with pytest.raises(MediaError, match=r"which is not read; .*image/png"):
        marks_of(place, None)


def test_what_is_told_is_short_and_printable(place: Path) -> None:
    """A model's name that would clear the terminal, of a signer who may say what he likes."""
    said = Provenance(model="\x1b[2J\x07" + "x" * 10_000)
    marks = examined(place, others().manifests.signed(plain()["image/png"], "image/png", said), "image/png")
    assert marks.finding == "unknown"
    assert (marks.model or "").isprintable()
    assert len(marks.model or "") <= LONGEST + 1


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg"])
def test_nothing_is_fetched(place: Path, content_type: str) -> None:
    """A file that names a manifest elsewhere: whoever listens there hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/manifest"
        place.write_bytes(named_elsewhere(content_type, url))
        marks = marks_of(place, us().authority)
        assert marks.finding == "unmarked"
        assert any(url in problem for problem in marks.problems)
        with pytest.raises(TimeoutError):
            listener.accept()


def named_elsewhere(content_type: str, url: str) -> bytes:
    builder = c2pa.Builder(_definition(KNOWN))
    builder.set_no_embed()
    builder.set_remote_url(url)
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        who = Signatory.open(Path(folder))
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=who.certificate, private_key=who.key, ta_url=None)
    with c2pa.Signer.from_info(info) as signer:
        builder.sign(signer, content_type, io.BytesIO(plain()[content_type]), out)
    assert url.encode() in out.getvalue()
    return out.getvalue()
