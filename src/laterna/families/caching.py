"""Feature caching: a sample that changed little since its last computed step reuses what most of the network made then.

The outermost block runs at every step. Where its answer, the *probe*, is within a threshold of the one kept, the rest
is taken from memory; the measure is that of ParaAttention's first-block cache. Each sample decides by its own numbers,
both guidance halves together, so that skippers and runners of one call get what each would get alone. Which threshold
an `acceleration` stands for, families and cards say, and whether features are taken as they were (DeepCache) or where
the line through the last two computed steps leads (the first order of TaylorSeer, arXiv:2503.06923), families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from laterna.contracts.generation import ModelRef
from laterna.families.settings import number_setting

if TYPE_CHECKING:
    from laterna.families.family import Noisy

MOST_SKIPS = 3  # in a row; then a step is computed whatever the probe says


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What a sample keeps between two steps. Dropping it is always safe: the next step is then computed in full."""

    probe: torch.Tensor  # of the last computed step, of all halves of the sample
    rest: torch.Tensor  # what the network's rest made in that step, of all halves
    time: float  # the network's time of that step
    slope: torch.Tensor | None = None  # the rest's change by unit of time; absent before two computed steps
    skips: int = 0  # steps taken from memory since

    def followed_by(self, probe: torch.Tensor, rest: torch.Tensor, time: float) -> Cache:
        """After another computed step."""
        return Cache(probe=probe, rest=rest, time=time, slope=(rest - self.rest) / (time - self.time))

    def rest_at(self, time: float) -> torch.Tensor:
        """What the rest would make if it went on along its line, or as it was where it keeps none."""
        return self.rest if self.slope is None else torch.add(self.rest, self.slope, alpha=time - self.time)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The relative change below which a sample reuses, by its job's acceleration; 0 never reuses."""

    regular: float
    high: float

    @classmethod
    def of(cls, ref: ModelRef, *, regular: float, high: float) -> Thresholds:
        """A family's own unless the card's settings `cache_regular` and `cache_high` say others. Raises ConfigError."""
        return cls(regular=number_setting(ref, "cache_regular", regular), high=number_setting(ref, "cache_high", high))

    def __call__(self, sample: Noisy) -> float:
        return {"none": 0.0, "regular": self.regular, "high": self.high}[sample.job.acceleration]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Of one call: who reused, and what each keeps for its next step; samples by their place in the call."""

    skipping: frozenset[int] = frozenset()
    kept: Mapping[int, Cache] = field(default_factory=dict)


Rows = Sequence[torch.Tensor]  # one a row of the call, joined along the first axis
Rest = Callable[[list[int]], Rows]  # what the network's rest makes of those rows


def accelerated(samples: Sequence[Noisy], thresholds: Thresholds) -> list[int]:
    """Those that may reuse now or later."""
    return [place for place, sample in enumerate(samples) if thresholds(sample) > 0]


def reuse(
    samples: Sequence[Noisy],
    owners: Sequence[int],
    thresholds: Thresholds,
    probes: Rows,
    compute: Rest,
    base: Rows | None = None,
) -> tuple[list[torch.Tensor], Choice]:
    """What the network's rest makes of each row, computed now for the rows of those that do not reuse.

    Args:
        owners: the sample of each row.
        probes: of each row, the answer of the part that always runs.
        base: of each row, what the rest starts from. Where it is given, what is remembered is the rest's change of it,
            along a line; otherwise the rest's answer as it was.
    """
    linear = base is not None
    probe = {place: _halves(place, probes, owners) for place in accelerated(samples, thresholds)}
    skipping = _skippers(samples, thresholds, probe, linear)
    running = [row for row, owner in enumerate(owners) if owner not in skipping]
    made = dict(zip(running, compute(running) if running else (), strict=True))
    for place, cache in skipping.items():
        rows = [row for row, owner in enumerate(owners) if owner == place]
        for row, rest in zip(rows, torch.chunk(cache.rest_at(samples[place].timestep), len(rows)), strict=True):
            made[row] = rest if base is None else base[row] + rest
    kept = {place: replace(cache, skips=cache.skips + 1) for place, cache in skipping.items()}
    for place in probe.keys() - skipping.keys():
        if not samples[place].last:
            rest = _halves(place, made, owners)
            change = rest if base is None else rest - _halves(place, base, owners)
            kept[place] = _renewed(samples[place], probe[place], change, linear)
    return [made[row] for row in range(len(owners))], Choice(skipping=frozenset(skipping), kept=kept)


def _renewed(sample: Noisy, probe: torch.Tensor, rest: torch.Tensor, linear: bool) -> Cache:
    if linear and sample.cache is not None:
        return sample.cache.followed_by(probe, rest, sample.timestep)
    return Cache(probe=probe, rest=rest, time=sample.timestep)


def _halves(place: int, rows: Rows | Mapping[int, torch.Tensor], owners: Sequence[int]) -> torch.Tensor:
    """A sample's rows in a tensor of their own, which does not keep the whole batch alive."""
    return torch.cat([rows[row] for row, owner in enumerate(owners) if owner == place])


def _skippers(
    samples: Sequence[Noisy], thresholds: Thresholds, probes: Mapping[int, torch.Tensor], linear: bool
) -> dict[int, Cache]:
    """Those that reuse at this step and from what, never their first or last step. One transfer from the device."""
    caches = {place: cache for place in probes if (cache := _usable(samples[place], linear)) is not None}
    if not caches:
        return {}
    changes = torch.stack([change(probes[place], cache.probe) for place, cache in caches.items()]).tolist()
    found = zip(caches.items(), changes, strict=True)
    return {place: cache for (place, cache), changed in found if changed < thresholds(samples[place])}


def _usable(sample: Noisy, linear: bool) -> Cache | None:
    cache = sample.cache
    if cache is None or sample.last or cache.skips >= MOST_SKIPS:
        return None
    return None if linear and cache.slope is None else cache


def change(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Mean absolute change over mean absolute value, float32 []; not a number is below no threshold."""
    return (now.float() - before.float()).abs().mean() / before.float().abs().mean()
