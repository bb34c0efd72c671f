"""What every family refuses of a job before it draws noise for it."""

from __future__ import annotations

from collections.abc import Sequence

from laterna.contracts.generation import TextToImage
from laterna.errors import InvalidInput, Problem
from laterna.samplers import get_sampler
from laterna.samplers.noise import NoiseSchedule
from laterna.samplers.schedule import Schedule


def check_job(job: TextToImage, *, samplers: Sequence[str], grain: int, adaptable: bool = True) -> None:
    """Raises InvalidInput naming each field that this family cannot serve, its value and what it can."""
    problems = []
    if job.sampler not in samplers:
        problems.append(_problem("sampler", job.sampler, f"{job.sampler!r} does not fit; choose {', '.join(samplers)}"))
    for field, pixels in (("width", job.width), ("height", job.height)):
        if pixels < grain or pixels % grain:
            problems.append(_problem(field, pixels, f"{pixels} is not a positive multiple of {grain} pixels"))
    if job.loras and not adaptable:
        problems.append(_problem("loras", len(job.loras), "this model takes no adapters; leave them out"))
    if problems:
        raise InvalidInput(*problems)


def begin_schedule(job: TextToImage, noise: NoiseSchedule, *, tokens: int | None = None) -> Schedule:
    """The job's way through the model's noise. Raises InvalidInput for a number of steps that the model cannot take."""
    try:
        return get_sampler(job.sampler).schedule(job.steps, noise, tokens=tokens)
    except ValueError as error:
        raise InvalidInput(_problem("steps", job.steps, f"{job.sampler}: {error}")) from error


def _problem(field: str, value: str | int, message: str) -> Problem:
    return Problem(loc=("body", field), msg=message, input=value)
