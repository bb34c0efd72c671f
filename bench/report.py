"""What every benchmark ends with: tables on stdout, the figures as JSON, a plot."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

Row = tuple[str | float, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One table."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class Report:
    tables: Sequence[Measured]
    figures: Mapping[str, float]  # by name, for JSON
    notes: tuple[str, ...] = ()
    plot: Callable[[Path], None] | None = None  # draws into the file; absent when there is nothing to draw

    def show(self) -> None:
        console = Console(width=120)
        for measured in self.tables:
            table = Table(*measured.columns, title=measured.title)
            for row in measured.rows:
                table.add_row(*(cell if isinstance(cell, str) else f"{cell:.3g}" for cell in row))
            console.print(table)
        for name, value in self.figures.items():
            console.print(f"{name} = {value:.4g}", highlight=False)
        for note in self.notes:
            console.print(note, highlight=False)


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the closest ranks; one value is its own percentile."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[max(0, round(share * 1000) - 1)]


def main(measure: Callable[[bool], Report]) -> None:
    """The command line that all benchmarks share."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples: ends within 50 s")
    parser.add_argument("--json", type=Path, help="write the figures by name")
    parser.add_argument("--plot", type=Path, help="draw")
    given = parser.parse_args()
    report = measure(given.quick)
    report.show()
    if given.json:
        given.json.write_text(json.dumps(dict(report.figures), indent=2) + "\n")
    if given.plot and report.plot:
        report.plot(given.plot)
