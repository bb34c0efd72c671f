"""`laterna simulate`: how a trace of requests would fare on the devices there are, or on others. Needs no server.

Its neighbours are `laterna.simulation`, which does it, and the data folder, from which costs and history are read.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from laterna.catalog.catalog import Catalog
from laterna.config import Settings
from laterna.errors import ConfigError, EndpointNotFound
from laterna.scheduler.cost import CostModel
from laterna.simulation import history
from laterna.simulation.arrivals import bursty, parse_bursts, parse_mix, poisson
from laterna.simulation.curves import read_curve
from laterna.simulation.device import Arrival
from laterna.simulation.fleet import NONE, Overheads
from laterna.simulation.plot import check_plot, draw, histogram
from laterna.simulation.results import Result, result
from laterna.simulation.simulate import simulate as run
from laterna.simulation.trace import Asked, arrivals, read_trace, write_trace

AS_IT_WAS = "as it was"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. Of `trace`, `rate`, `bursts` and `hours` exactly one is present."""

    model: str  # endpoint id
    trace: Path | None  # CSV file
    rate: float | None  # of Poisson arrivals, requests a second
    bursts: str | None  # RATE:ON:OFF
    hours: float | None  # of this folder's history
    mix: str  # STEPS:SHARE[:CLASS],...; empty: the model's own number of steps
    count: int  # of made-up requests
    seed: int
    curve: Path | None  # absent: what the workers learned here
    devices: int | None  # absent: as many as there are here, or one of the curve
    policies: Sequence[str]
    output: Path | None  # a plot
    save_trace: Path | None  # CSV file
    as_json: bool


def simulate(settings: Settings, options: Options) -> None:
    """Print a table of latencies by class for each policy; raises ConfigError for what makes no sense."""
    if options.output is not None:
        check_plot(options.output)
    catalog = Catalog.load(settings.cards_folder)
    past = _past(settings, options)
    asked = history.asked(past) if past else _asked(catalog, options)
    if options.save_trace is not None:
        with options.save_trace.open("w", newline="") as lines:
            write_trace(lines, asked)
    coming = arrivals(asked, lambda id: _name(catalog, id or options.model))
    devices = _devices(settings, options, {one.model for one in coming})
    results = [_real(past, coming)] if past else []
    results += _simulated(coming, devices, _overheads(settings, options), options)
    if options.output is not None:
        draw(results, options.output)
    if options.as_json:
        print(json.dumps([_shown(one) for one in results], indent=2))
    else:
        _print(results)


def _simulated(
    coming: Sequence[Arrival], devices: dict[str, CostModel], overheads: Overheads, options: Options
) -> list[Result]:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        results = []
        for policy in options.policies:
            task = bar.add_task(policy, total=len(coming))
            results.append(
                run(
                    coming,
                    devices,
                    policy=policy,
                    overheads=overheads,
                    seed=options.seed,
                    answered=partial(bar.advance, task),
                )
            )
    return results


# Where requests come from.


def _past(settings: Settings, options: Options) -> list[history.Done]:
    """The folder's own requests, where they are wanted."""
    given = [one for one in (options.trace, options.rate, options.bursts, options.hours) if one is not None]
    if len(given) != 1:
        raise ConfigError("name one source of requests: a CSV file, --poisson, --bursty or --history")
    if options.hours is None:
        return []
    found = history.done(settings, round((time.time() - 3600 * options.hours) * 1e6))
    known = [one for one in found if one.job is not None]
    if len(known) < len(found):
        print(f"{len(found) - len(known)} requests are left out: their inputs were deleted", file=sys.stderr)
    if not known:
        raise ConfigError(f"--history: no request of the last {options.hours:g} hours ended well here")
    return known


def _asked(catalog: Catalog, options: Options) -> list[Asked]:
    like, mix = _like(catalog, options.model), parse_mix(options.mix)
    if options.trace is not None:
        return read_trace(options.trace, like)
    if options.count < 1:
        raise ConfigError(f"--count: {options.count}: must be at least 1")
    if options.bursts is not None:
        return bursty(like, mix, parse_bursts(options.bursts), options.count, options.seed)
    assert options.rate is not None
    if not options.rate > 0:
        raise ConfigError(f"--poisson: {options.rate:g}: must be above 0 requests a second")
    return poisson(like, mix, options.rate, options.count, options.seed)


def _like(catalog: Catalog, model: str) -> Asked:
    """A request that asks the model for nothing in particular."""
    try:
        _, endpoint = catalog.endpoint(model)
    except EndpointNotFound:
        return Asked(time_s=0.0, model=model)
    job = endpoint.contract.normalise(endpoint.contract.parse({"prompt": "-"}), seed=0)
    return Asked(
        time_s=0.0,
        model=model,
        steps=job.steps,
        width=job.width,
        height=job.height,
        cfg_scale=job.cfg_scale,
        count=job.count,
    )


def _name(catalog: Catalog, id: str) -> str:
    """By which costs know the model; a stranger's, for a curve of a file, by what it is called."""
    try:
        return catalog.endpoint(id)[0].ref().name
    except EndpointNotFound:
        pass
    try:
        return catalog.card(id).ref().name
    except EndpointNotFound:
        return id


# What they run on.


def _devices(settings: Settings, options: Options, models: set[str]) -> dict[str, CostModel]:
    if options.curve is not None:
        return _copies({options.curve.stem: read_curve(options.curve, models)}, options.devices)
    files = sorted(settings.data.glob("costs-*.json"))
    found = {file.stem.removeprefix("costs-"): CostModel.load(file) for file in files}
    able = {name: costs for name, costs in found.items() if all(costs.knows(model) for model in models)}
    if not able:
        unknown = sorted(m for m in models if not any(costs.knows(m) for costs in found.values())) or sorted(models)
        raise ConfigError(
            f"{settings.data}: nothing is known here of what calls of {', '.join(unknown)} take on one device; "
            "generate with it first, or name a --curve"
        )
    return _copies(able, options.devices)


def _copies(found: dict[str, CostModel], count: int | None) -> dict[str, CostModel]:
    if count is None:
        return found
    if count < 1:
        raise ConfigError(f"--devices: {count}: must be at least 1")
    taken = islice(cycle(found.items()), count)
    return {f"{name} #{number}": costs for number, (name, costs) in enumerate(taken, 1)}


def _overheads(settings: Settings, options: Options) -> Overheads:
    """As the folder's server showed them; of another's devices nothing is known."""
    if options.curve is not None or not history.exists(settings):
        return NONE
    return history.overheads(history.done(settings, most=history.LATEST))


# What came of it.


def _real(past: Sequence[history.Done], coming: Sequence[Arrival]) -> Result:
    return result(AS_IT_WAS, history.completions(past, coming), {})


def _shown(one: Result) -> dict[str, Any]:
    classes = {label: dataclasses.asdict(replace(found, latencies_s=())) for label, found in one.classes.items()}
    for shown in classes.values():
        del shown["latencies_s"]
    return {
        "policy": one.name,
        "seconds": one.seconds,
        "requests_per_second": one.rate,
        "device_seconds": one.device_s,
        "utilisation": dict(one.busy),
        "classes": classes,
    }


def _print(results: Sequence[Result]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=120)
    everything = [seconds for one in results for found in one.classes.values() for seconds in found.latencies_s]
    low_s, high_s = max(min(everything), 1e-3), max(everything)
    table = Table(title="Seconds from arrival to answer")
    for name in ("policy", "class", "requests", "mean", "p50", "p95", "p99", "late", f"{low_s:.2g} to {high_s:.2g} s"):
        table.add_column(name, justify="left" if name in ("policy", "class") else "right")
    for one in results:
        for label, found in one.classes.items():
            figures = (f"{value:.3g}" for value in (found.mean_s, found.p50_s, found.p95_s, found.p99_s))
            late = f"{found.missed} of {found.deadlines}" if found.deadlines else "-"
            shape = histogram(found.latencies_s, low_s, high_s)
            table.add_row(one.name, label, str(found.count), *figures, late, shape)
        table.add_section()
    console.print(table)
    for one in results:
        busy = ", ".join(f"{name} {100 * share:.0f} %" for name, share in one.busy.items())
        rate = f"{one.name}: {one.rate:.3g} requests a second"
        console.print(f"{rate}; busy: {busy}" if busy else rate, highlight=False)
