"""The process that reads one untrusted file for `laterna.media.marks`: a question on stdin, an answer on stdout.

Confined before it opens the file: memory, processor time, and no bytes written. The library that parses the file may
abort or be ended by the system; the caller makes an error of that.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import msgspec

from laterna.media.manifests import SETTINGS
from laterna.media.marks import Answer, Finding, Marks, Question

MEMORY_BYTES = 2 << 30  # of address space
ENDS_BYTES = 8 << 20  # at either end of a file, where plain metadata is looked for
LONGEST = 200  # characters of a text that is told
MOST = 20  # problems that are told
TRAINED = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"})
REMOTE = "Remote: "  # how the library's word on a manifest begins that is elsewhere, and is not fetched
# What the library raises where the manifest itself is damaged.
_DAMAGED = tuple(
    getattr(c2pa.C2paError, name)
    for name in ("Assertion", "AssertionNotFound", "Decoding", "Json", "Manifest", "Signature", "Verify")
)
_PACKET = re.compile(rb"<x:xmpmeta.{0,1000000}?digitalsourcetype/([A-Za-z]{1,60})", re.DOTALL)


def examine(question: Question) -> Marks:
    """Raises C2paError for a file that is not of its type, or damaged where its manifest is not."""
    try:
        state, found = _read(question, question.ours)
        if state == "Valid" and question.trusted is not None:
            known: Finding = "trusted" if _read(question, question.trusted)[0] == "Trusted" else "unknown"
        else:
            known = "ours" if state == "Trusted" else "unknown"
    except c2pa.C2paError as error:
        return _without(question, error)
    return _marked(question, known if state in ("Valid", "Trusted") else "invalid", found)


def _read(question: Question, authorities: str | None) -> tuple[str | None, dict[str, Any]]:
    """The library's verdict and its report."""
    trust = {} if authorities is None else {"trust": {"trust_anchors": authorities}}
    context = c2pa.Context(c2pa.Settings.from_dict({**SETTINGS, **trust}))
    with open(question.path, "rb") as file, c2pa.Reader(question.content_type, file, context=context) as reader:
        return reader.get_validation_state(), json.loads(reader.json())


def _marked(question: Question, finding: Finding, found: dict[str, Any]) -> Marks:
    manifests: dict[str, dict[str, Any]] = found.get("manifests") or {}
    active = manifests.get(found.get("active_manifest") or "") or {}
    said = next(_made((active, *manifests.values())), {})
    agent = said.get("softwareAgent")
    signature = active.get("signature_info") or {}
    generator = (active.get("claim_generator_info") or [{}])[0]
    source_type = _text(str(said.get("digitalSourceType", "")).rpartition("/")[2])
    return Marks(
        finding=finding,
        content_type=question.content_type,
        source_type=source_type,
        generated=source_type in TRAINED,
        model=_text(agent.get("name") if isinstance(agent, dict) else agent),
        created=_text(said.get("when") or signature.get("time")),
        software=_text(f"{generator.get('name') or ''} {generator.get('version') or ''}".strip()),
        signer=_text(signature.get("common_name") or signature.get("issuer")),
        serial=_text(signature.get("cert_serial_number")),
        problems=tuple(_problems(found)) if finding == "invalid" else (),
    )


def _without(question: Question, error: c2pa.C2paError) -> Marks:
    """Where there is no manifest, or none that can be read. Raises what is wrong with the file itself."""
    problem = _text(str(error)) or type(error).__name__
    if isinstance(error, _DAMAGED):
        return Marks(finding="invalid", content_type=question.content_type, problems=(problem,))
    if problem.startswith(REMOTE):
        return _unmarked(question, (problem,))
    if not isinstance(error, c2pa.C2paError.ManifestNotFound):
        raise error
    return _unmarked(question, ())


def _made(manifests: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """The actions that say how it was made: the active manifest's first, then those of what went into it."""
    for manifest in manifests:
        for assertion in manifest.get("assertions") or ():
            if assertion.get("label", "").startswith("c2pa.actions"):
                actions = (assertion.get("data") or {}).get("actions") or ()
                yield from (action for action in actions if "digitalSourceType" in action)


def _problems(found: dict[str, Any]) -> Iterator[str]:
    results = found.get("validation_results") or {}
    parts = [delta.get("validationDeltas") or {} for delta in results.get("ingredientDeltas") or ()]
    failures = [
        failure for part in (results.get("activeManifest") or {}, *parts) for failure in part.get("failure", ())
    ]
    for failure in failures[:MOST]:
        told = _text(f"{failure.get('code')}: {failure.get('explanation')}")
        if told is not None:
            yield told


def _unmarked(question: Question, problems: tuple[str, ...]) -> Marks:
    """What plain metadata says, which anybody can write."""
    with Path(question.path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        ends = file.read(ENDS_BYTES)
        file.seek(max(len(ends), size - ENDS_BYTES))
        said = _PACKET.search(ends + file.read(ENDS_BYTES))
    source_type = said[1].decode() if said else None
    return Marks(
        finding="unmarked",
        content_type=question.content_type,
        source_type=source_type,
        generated=source_type in TRAINED,
        problems=problems,
    )


def _text(value: object) -> str | None:
    """Short and harmless on a terminal; None for what is no text."""
    if not isinstance(value, str) or not value:
        return None
    cut = value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    return "".join(letter if letter.isprintable() else "�" for letter in cut)


def _confine(seconds: int) -> None:
    for kind, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    _confine(question.seconds)
    try:
        answer = Answer(marks=examine(question))
    except Exception as error:  # noqa: BLE001 - the edge of a process: recorded as the answer
        answer = Answer(error=_text(str(error)) or type(error).__name__)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
