"""Writes the pages that derive from the code: settings, commands, models. `make docs`; a test fails when they are
stale.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer.main
from prometheus_client.metrics import MetricWrapperBase

from docs.dashboard import dashboard
from laterna import metrics
from laterna.catalog.catalog import Catalog
from laterna.cli.main import app
from laterna.config import PREFIX, Settings

DOCS = Path(__file__).parent


def settings_page() -> str:
    rows = ["| setting | variable | default | what it does |", "|---|---|---|---|"]
    for item in fields(Settings):
        default = "its folder for data" if item.name == "data" else _shown(item.default)
        rows.append(f"| `{item.name}` | `{PREFIX}{item.name.upper()}` | {default} | {item.metadata['about']} |")
    return "\n".join(
        [
            "# Settings",
            "",
            "Written by `make docs` from `src/laterna/config.py`.",
            "",
            "Each can be set on the command line (`laterna serve --set NAME=VALUE`, a few have flags of their own), by",
            "its environment variable, or in `laterna.toml` in the data folder; the first that names it wins. Unknown",
            "names are refused.",
            "",
            *rows,
            "",
        ]
    )


def commands_page() -> str:
    group: Any = typer.main.get_command(app)
    parts = [
        "# Commands",
        "",
        "Written by `make docs` from `src/laterna/cli/main.py`. stdout is data, stderr narration.",
        "",
    ]
    for name, command in _commands(group):
        parts += [f"## laterna {name}", "", str(command.help), ""]
        rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
        parts += ["| option | what it does |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; groups have none of their own."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def endpoints_table() -> str:
    """The built-in endpoints, for `docs/models.md`."""
    rows = ["| endpoint | model | licence | weights |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as empty:
        for card in Catalog.load(Path(empty)).cards():
            rows += [f"| `{e.id(card)}` | {card.name} | {card.licence} | `{card.source}` |" for e in card.endpoints]
    return "\n".join(rows)


def metrics_table() -> str:
    """The server's own metrics, for `docs/seeing.md`."""
    rows = ["| metric | what it is | labels |", "|---|---|---|"]
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            labels = ", ".join(f"`{name}`" for name in metric._labelnames)
            described = next(iter(metric.describe()))
            total = "_total" if described.type == "counter" else ""
            rows.append(f"| `{described.name}{total}` ({described.type}) | {described.documentation} | {labels} |")
    return "\n".join(rows)


def pages() -> dict[Path, str]:
    """Every derived page and what it should hold."""
    models = DOCS / "models.md"
    before, mark, rest = models.read_text().partition("<!-- endpoints -->\n")
    after = rest.partition("<!-- end -->\n")[2]
    seeing = DOCS / "seeing.md"
    start, sign, tail = seeing.read_text().partition("<!-- metrics -->\n")
    return {
        DOCS / "settings.md": settings_page(),
        DOCS / "commands.md": commands_page(),
        models: f"{before}{mark}{endpoints_table()}\n<!-- end -->\n{after}",
        seeing: f"{start}{sign}{metrics_table()}\n<!-- end -->\n{tail.partition('<!-- end -->')[2][1:]}",
        DOCS / "grafana.json": dashboard(),
    }


def _shown(value: object) -> str:
    return "none" if value in ((), None) else f"`{value}`"


def _option(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    shown = parameter.name.upper() if parameter.param_type_name == "argument" else names
    return f"| `{shown}` | {parameter.help or ''} |"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path, file=sys.stderr)
