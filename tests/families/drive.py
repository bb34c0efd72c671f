"""Pictures of one family by the real engine, alone or mixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from laterna.contracts.generation import ModelRef, TextToImage
from laterna.families import load_family
from laterna.families.family import Family, Picture
from laterna.lora.library import Library
from tests.engine.toy import Heard, drain, engine, order
from tests.families.checkpoints import T5_LENGTH

CPU = torch.device("cpu")


def load(
    family: str, weights: Path | str, library: Library | None = None, **settings: str | int | float | bool
) -> Family:
    if family == "flux":
        settings = {"max_sequence_length": T5_LENGTH, **settings}
    named = weights if isinstance(weights, str) else f"path:{weights}"
    ref = ModelRef(id="test/model", revision="1", family=family, weights=named, settings=settings, resident_bytes=1)
    return load_family(ref, CPU, library=library)


def paint(family: Family, *jobs: TextToImage, late: Sequence[int] = ()) -> list[Picture]:
    """Pictures of all jobs by the real engine; job i joins after `late[i]` calls, so that step positions differ."""
    heard = Heard()
    running = engine(family, heard)
    waits = {**dict.fromkeys(range(len(jobs)), 0), **dict(enumerate(late))}
    for call in range(max(waits.values()) + 1):
        for number, job in enumerate(jobs):
            if waits[number] == call:
                running.submit(order(str(number), job))
        running.turn()
    drain(running)
    assert not heard.failures(), heard.failures()
    return [heard.pictures[str(number)][0] for number in range(len(jobs))]
