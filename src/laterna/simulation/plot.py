"""Pictures of results: a line of blocks for the terminal, and a file by matplotlib where that is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from laterna.errors import ConfigError
from laterna.simulation.results import ALL, Result

BLOCKS = " ▁▂▃▄▅▆▇█"
KINDS = (".png", ".svg")


def histogram(latencies_s: Sequence[float], low_s: float, high_s: float, width: int = 24) -> str:
    """How many of the latencies lie where between the two, on a logarithmic scale."""
    counts, span = [0] * width, math.log(max(high_s / low_s, 1.0001))
    for seconds in latencies_s:
        at = int(math.log(min(max(seconds, low_s), high_s) / low_s) / span * width)
        counts[min(at, width - 1)] += 1
    return "".join(BLOCKS[math.ceil(count / max(counts) * (len(BLOCKS) - 1))] for count in counts)


def check_plot(path: Path) -> None:
    """Raises ConfigError for a name that is no picture's, and where matplotlib is missing."""
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"--output: {path}: expected a name that ends in {' or '.join(KINDS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError("--output: a plot needs matplotlib: pip install matplotlib, or leave --output out") from error


def draw(results: Sequence[Result], path: Path) -> None:
    """Of each run: the share of requests that were answered within so many seconds, by class."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for style, run in zip(("-", "--", ":", "-."), results, strict=False):
        labels = [label for label in run.classes if label != ALL] or [ALL]
        for number, label in enumerate(labels):
            seconds = run.classes[label].latencies_s
            shares = [100 * (rank + 1) / len(seconds) for rank in range(len(seconds))]
            axis.step(seconds, shares, style, color=f"C{number}", where="post", label=f"{run.name}, {label}")
    axis.set(xlabel="seconds from arrival to answer", ylabel="requests answered, %", xscale="log", ylim=(0, 102))
    for ticks in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        ticks(lambda seconds, _: f"{seconds:.3g}" if f"{seconds:e}"[0] in "125" else "")
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
