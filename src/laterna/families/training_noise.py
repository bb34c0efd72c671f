"""The noise that a checkpoint was trained with, from its scheduler's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laterna.errors import UnreadableWeights
from laterna.families.components import read_json
from laterna.samplers.noise import NoiseSchedule

SCHEDULER = Path("scheduler") / "scheduler_config.json"


def read_scheduler(source: Path) -> dict[str, Any]:
    """The scheduler's configuration. Raises MissingWeights or UnreadableWeights."""
    return read_json(source / SCHEDULER)


def noise_of(config: Mapping[str, Any], source: Path) -> NoiseSchedule:
    """Raises UnreadableWeights for noise that the samplers cannot follow."""
    try:
        return NoiseSchedule.from_config(config)
    except ValueError as error:
        raise UnreadableWeights(f"{source / SCHEDULER}: {error}") from error
